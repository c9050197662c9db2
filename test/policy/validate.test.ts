import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type FaultCode, faultCodes } from '../../src/errors.ts';
import { readPolicy, readPolicyJson } from '../../src/policy/read.ts';
import type { ValidateOptions } from '../../src/policy/validate.ts';
import { root } from '../house/sources.ts';

const invalid = join(root, 'test/fixtures/policies/invalid');
const clusterName = 'here';

/** `CODE at path`, as reported. */
const found = (text: string, options: ValidateOptions = {}): string[] =>
  readPolicy(text, { clusterName, ...options }).faults.map(({ code, path }) => `${code.slice(7)} at ${path}`);

const file = (selectors: string, responses = '[{match: [a], actions: [alert]}]'): string =>
  `file: {selectors: ${selectors}, responses: ${responses}}`;
const process = (selectors: string, responses = '[{match: [a], actions: [alert]}]'): string =>
  `process: {selectors: ${selectors}, responses: ${responses}}`;
const fileWith = (condition: string): string =>
  file(`[{name: a, operation: [createExecutable], ${condition}}]`);
const processWith = (condition: string): string => process(`[{name: a, operation: [exec], ${condition}}]`);

test('every fault code has a fixture, and every fixture a code', () => {
  const fixtures = readdirSync(invalid).map((name) => name.replace(/\.yaml$/, ''));
  assert.deepEqual(fixtures.sort(), Object.keys(faultCodes).sort());
});

/** What strict mode cannot but report as well. */
const alsoInStrict: Partial<Record<FaultCode, readonly FaultCode[]>> = {
  POLICY_BLOCK_WITHOUT_PATH: ['POLICY_FIM_PATH_MISSING'],
};

for (const [name, severities] of Object.entries(faultCodes)) {
  const code = name as FaultCode;
  test(`its fixture gives ${code} and nothing else, in both modes`, () => {
    const text = readFileSync(join(invalid, `${code}.yaml`), 'utf8');
    for (const mode of ['strict', 'lenient'] as const) {
      const name = code === 'POLICY_CLUSTER_NAME_UNSET' ? undefined : clusterName;
      const { policy, faults } = readPolicy(text, { mode, clusterName: name });
      const others = alsoInStrict[code] ?? [];
      assert.deepEqual(new Set(faults.map((fault) => fault.code)), new Set([code, ...others]), mode);
      const fault = faults.find((each) => each.code === code);
      assert.equal(fault?.severity, severities[mode], mode);
      assert.equal(policy === undefined, severities[mode] === 'error', mode);
    }
  });
}

test('a fault names its place, its path and what was probably meant', () => {
  const { faults } = readPolicy(readFileSync(join(invalid, 'POLICY_UNKNOWN_SELECTOR.yaml'), 'utf8'));
  assert.deepEqual(faults, [
    {
      code: 'POLICY_UNKNOWN_SELECTOR',
      severity: 'error',
      message: 'unknown selector `executableChange`; did you mean `executableChanges`?',
      line: 6,
      column: 15,
      path: 'file.responses[0].match[0]',
      suggestion: 'executableChanges',
    },
  ]);
});

test('all faults of a document are reported at once, in the order of the text', () => {
  const text = `
file:
  selectors:
    - name: a
      operation: [createFile, exec]
      targetFilePath: [tmp, /a//b]
    - operation: [createExecutable]
      ignoreVolumeMounts: "true"
  responses:
    - match: [a, c]
      actions: [block, stop]
    - actions: []
network: {}
`;
  assert.deepEqual(found(text), [
    'UNKNOWN_OPERATION at file.selectors[0].operation[1]',
    'VALUE_FORM at file.selectors[0].targetFilePath[0]',
    'VALUE_FORM at file.selectors[0].targetFilePath[1]',
    'SELECTOR_NAME at file.selectors[1]',
    'VALUE_TYPE at file.selectors[1].ignoreVolumeMounts',
    'UNKNOWN_SELECTOR at file.responses[0].match[1]',
    'BLOCK_WITHOUT_ALERT at file.responses[0].actions',
    'UNKNOWN_ACTION at file.responses[0].actions[1]',
    'RESPONSE_INCOMPLETE at file.responses[1]',
    'RESPONSE_INCOMPLETE at file.responses[1].actions',
    'UNKNOWN_KEY at network',
  ]);
});

test('the document, its sections, selectors and responses have the right shape', () => {
  const table: [text: string, faults: string[], because: string][] = [
    ['{}', ['EMPTY at '], 'nothing in it'],
    ['files: {}', ['UNKNOWN_KEY at files'], 'a misspelt section is not missing too'],
    ['other: {}', ['UNKNOWN_KEY at other', 'EMPTY at '], 'no section was meant'],
    ['file:', ['SECTION_INCOMPLETE at file'], 'the key alone'],
    ['file: {}', ['SECTION_INCOMPLETE at file'], 'neither list'],
    ['file: []', ['VALUE_TYPE at file'], 'a list is no section'],
    [
      'file: {selectors: [], responses: []}',
      ['SECTION_INCOMPLETE at file.selectors', 'SECTION_INCOMPLETE at file.responses'],
      'empty lists',
    ],
    [
      'file: {selectors: {}, responses: }',
      ['VALUE_TYPE at file.selectors', 'SECTION_INCOMPLETE at file.responses'],
      'a mapping and nothing',
    ],
    [
      file('[1]'),
      ['VALUE_TYPE at file.selectors[0]', 'UNKNOWN_SELECTOR at file.responses[0].match[0]'],
      'a number is no selector',
    ],
    [
      file('[{name: a, operation: [createExecutable]}]', '[a]'),
      ['VALUE_TYPE at file.responses[0]'],
      'text is no response',
    ],
    [
      file('[{name: a, operation: [createExecutable]}]', '[{match: a, actions: alert}]'),
      ['VALUE_TYPE at file.responses[0].match', 'VALUE_TYPE at file.responses[0].actions'],
      'text is no list',
    ],
    [
      file('[{name: a, operation: [createExecutable]}]', '[{match: [a], actions: [alert], exclude: }]'),
      ['VALUE_TYPE at file.responses[0].exclude'],
      'exclude may be left out or empty',
    ],
    [
      file('[{name: a, operation: [createExecutable]}]', '[{match: ["", 1, a], actions: [""]}]'),
      [
        'VALUE_EMPTY at file.responses[0].match[0]',
        'VALUE_TYPE at file.responses[0].match[1]',
        'VALUE_EMPTY at file.responses[0].actions[0]',
      ],
      'names and actions are text',
    ],
    [
      `${file('[{name: a, operation: [createExecutable]}]')}\nversion: {a: 1}`,
      [],
      'the version is ignored, whatever it is',
    ],
    [
      file(
        '[{name: a, operation: [createExecutable], hasErrors: true, type: x}]',
        '[{match: [a], actions: [log], hasErrors: 1, type: }]',
      ),
      [],
      "the editor's leftovers are ignored",
    ],
    [
      `${file('[{name: a, operation: [createExecutable]}]')}\nhasErrors: false`,
      ['UNKNOWN_KEY at hasErrors'],
      'but only in selectors and responses',
    ],
    [
      '__proto__: {}\nconstructor: {}\nfile: {toString: 1}',
      [
        'UNKNOWN_KEY at __proto__',
        'UNKNOWN_KEY at constructor',
        'SECTION_INCOMPLETE at file',
        'UNKNOWN_KEY at file.toString',
      ],
      'JavaScript is not the language',
    ],
  ];
  for (const [text, faults, because] of table) {
    assert.deepEqual(found(text), faults, because);
  }
});

test('paths quote keys that are no plain words', () => {
  assert.deepEqual(found('"a b": 1\n"\\n": 2\nx.y: 3\n'), [
    'UNKNOWN_KEY at ["a b"]',
    'EMPTY at ',
    'UNKNOWN_KEY at ["\\n"]',
    'UNKNOWN_KEY at ["x.y"]',
  ]);
});

test('values have their type, their size and their form', () => {
  const table: [text: string, faults: string[], because: string][] = [
    [
      fileWith('containerImageTag: [1.25, true, null, ~, , a]'),
      ['SYNTAX at '],
      'an empty place in a list is no YAML',
    ],
    [
      fileWith('containerImageTag: [1.25, true, ~, [a], {b: c}]'),
      [0, 1, 2, 3, 4].map((index) => `VALUE_TYPE at file.selectors[0].containerImageTag[${index}]`),
      'only text is text',
    ],
    [
      fileWith('containerImageTag: ["", !!str ]'),
      [
        'VALUE_EMPTY at file.selectors[0].containerImageTag[0]',
        'VALUE_EMPTY at file.selectors[0].containerImageTag[1]',
      ],
      'empty texts',
    ],
    [
      fileWith('containerImageTag: '),
      ['VALUE_EMPTY at file.selectors[0].containerImageTag'],
      'the key alone',
    ],
    [fileWith('containerImageTag: {}'), ['VALUE_TYPE at file.selectors[0].containerImageTag'], 'a mapping'],
    [
      fileWith('containerImageTag: latest'),
      ['VALUE_TYPE at file.selectors[0].containerImageTag'],
      'a text alone',
    ],
    [fileWith('ignoreVolumeFiles: '), ['VALUE_EMPTY at file.selectors[0].ignoreVolumeFiles'], 'a flag alone'],
    [
      fileWith('ignoreVolumeFiles: yes'),
      ['VALUE_TYPE at file.selectors[0].ignoreVolumeFiles'],
      'YAML 1.2 reads yes as text',
    ],
    [fileWith(`containerImageTag: [${'é'.repeat(255)}x]`), [], '511 bytes'],
    [
      fileWith(`containerImageTag: [${'é'.repeat(256)}]`),
      ['VALUE_TOO_LONG at file.selectors[0].containerImageTag[0]'],
      '512 bytes in 256 characters',
    ],
    [fileWith(`targetFilePath: [/${'a'.repeat(254)}]`), [], '255 bytes'],
    [
      fileWith(`targetFilePath: [x${'/'.repeat(255)}]`),
      ['VALUE_TOO_LONG at file.selectors[0].targetFilePath[0]'],
      'the size is checked before the form',
    ],
    [processWith(`processExecutable: [/${'a'.repeat(510)}]`), [], '511 bytes'],
    [processWith('processName: [ééééééé]'), [], '14 bytes'],
    [
      processWith('processName: [éééééééé]'),
      ['VALUE_TOO_LONG at process.selectors[0].processName[0]'],
      '16 bytes in 8 characters',
    ],
    [
      fileWith('targetFilePath: ["/a\\0b"]'),
      ['VALUE_FORM at file.selectors[0].targetFilePath[0]'],
      'no path has NUL',
    ],
    [
      fileWith('kubernetesNamespace: ["\\ud800"]'),
      ['VALUE_FORM at file.selectors[0].kubernetesNamespace[0]'],
      'half of a surrogate pair',
    ],
    [
      fileWith('processName: [a]'),
      ['UNKNOWN_KEY at file.selectors[0].processName'],
      'a condition of the other section',
    ],
    [
      processWith('ignoreVolumeMounts: true'),
      ['UNKNOWN_KEY at process.selectors[0].ignoreVolumeMounts'],
      'the other way',
    ],
    [
      process('[{name: a, operation: [createFile]}]'),
      ['UNKNOWN_OPERATION at process.selectors[0].operation[0]'],
      'an operation of the other section',
    ],
    [
      file('[{name: a, operation: createFile}]'),
      ['VALUE_TYPE at file.selectors[0].operation'],
      'not missing, so nothing follows',
    ],
    [
      file('[{name: a, operation: []}]'),
      ['VALUE_EMPTY at file.selectors[0].operation'],
      'not missing either',
    ],
  ];
  for (const [text, faults, because] of table) assert.deepEqual(found(text), faults, because);
});

test('selector names have a form and are unique in their section', () => {
  const named = (name: string) =>
    file(`[{name: ${name}, operation: [createExecutable]}]`, '[{match: [A-0_z], actions: [log]}]');
  const ok = (name: string) =>
    file(`[{name: ${name}, operation: [createExecutable]}]`, `[{match: [${name}], actions: [log]}]`);
  for (const name of ['a', 'A-0_z', '"0"', 'x'.repeat(128)]) assert.deepEqual(found(ok(name)), [], name);
  for (const name of ['-a', '_a', 'a.b', 'é', '"a b"', 'x'.repeat(129)]) {
    assert.deepEqual(found(ok(name)), ['SELECTOR_NAME at file.selectors[0].name'], name);
    assert.notEqual(readPolicy(ok(name), { mode: 'lenient' }).policy, undefined, name);
  }
  for (const name of ['', '""']) {
    const faults = readPolicy(named(name), { mode: 'lenient', clusterName }).faults;
    assert.deepEqual(
      faults.map(({ code, severity }) => `${code} ${severity}`),
      ['POLICY_SELECTOR_NAME error', 'POLICY_UNKNOWN_SELECTOR error'],
      'a missing name is never forgiven',
    );
  }
  assert.deepEqual(found(ok('12')), [
    'VALUE_TYPE at file.selectors[0].name',
    'VALUE_TYPE at file.responses[0].match[0]',
  ]);
});

test('in lenient mode the first selector of a name wins', () => {
  const text = file('[{name: a, operation: [createExecutable]}, {name: a, operation: [modifyExecutable]}]');
  assert.deepEqual(readPolicy(text, { mode: 'lenient' }).policy?.file?.selectors, [
    { name: 'a', operation: ['createExecutable'] },
  ]);
});

test('a name in both sections is a warning at the later one', () => {
  const [first, second] = [
    file('[{name: a, operation: [createExecutable]}]'),
    process('[{name: a, operation: [exec]}]'),
  ];
  for (const [text, section] of [
    [`${first}\n${second}`, 'process'],
    [`${second}\n${first}`, 'file'],
  ] as const) {
    const { policy, faults } = readPolicy(text);
    assert.deepEqual(
      faults.map(({ code, path, line }) => [code, path, line]),
      [['POLICY_SELECTOR_DUPLICATE', `${section}.selectors[0].name`, 2]],
    );
    assert.notEqual(policy, undefined);
  }
});

test('a name in both sections is a warning at the later one on one line, too', () => {
  const [operation, match] = [['createExecutable'], ['a']];
  const response = { match, actions: ['alert'] };
  const file = { selectors: [{ name: 'a', operation }], responses: [response] };
  const process = { selectors: [{ name: 'a', operation: ['exec'] }], responses: [response] };
  for (const [policy, section] of [
    [{ file, process }, 'process'],
    [{ process, file }, 'file'],
  ] as const) {
    for (const read of [readPolicy, readPolicyJson]) {
      const paths = read(JSON.stringify(policy)).faults.map(({ path }) => path);
      assert.deepEqual(paths, [`${section}.selectors[0].name`]);
    }
  }
});

test('one mistake is not reported twice', () => {
  const table: [text: string, faults: string[], because: string][] = [
    [
      file('[{name: a, operations: [createExecutable]}]'),
      ['UNKNOWN_KEY at file.selectors[0].operations'],
      'operation was meant',
    ],
    [
      file('[{Name: a, operation: [createExecutable]}]', '[{match: [b], actions: [log]}]'),
      ['UNKNOWN_KEY at file.selectors[0].Name', 'UNKNOWN_SELECTOR at file.responses[0].match[0]'],
      'name was meant',
    ],
    [
      file('[{name: a, operation: [createFile], targetFilePaths: [/a]}]'),
      ['UNKNOWN_KEY at file.selectors[0].targetFilePaths'],
      'a path was meant',
    ],
    [
      file('[{name: a, operation: [createExecutable]}]', '[{matches: [a], action: [log]}]'),
      ['UNKNOWN_KEY at file.responses[0].matches', 'UNKNOWN_KEY at file.responses[0].action'],
      'match and actions were meant',
    ],
    [
      'file: {selector: [], responses: [{match: [a], actions: [log]}]}',
      ['UNKNOWN_KEY at file.selector'],
      'without selectors every name is unknown',
    ],
    [
      file('[{name: a, operation: [createExecutable]}]', '[{match: [a], actions: [block, alret]}]'),
      ['UNKNOWN_ACTION at file.responses[0].actions[1]'],
      'alert was meant',
    ],
    [
      file('[{name: abc, operation: [createExecutable]}]', '[{match: [abd], actions: [log]}]'),
      ['UNKNOWN_SELECTOR at file.responses[0].match[0]'],
      'the selector was meant, so it is used',
    ],
    [
      file('[{name: a}]'),
      ['SELECTOR_EMPTY at file.selectors[0]'],
      'an empty selector lacks its operation too',
    ],
    [
      file('[{name: a, operation: [createExecutable]}]', '[{match: [], actions: [log]}]'),
      ['RESPONSE_INCOMPLETE at file.responses[0].match'],
      'the selector may have been meant',
    ],
  ];
  for (const [text, faults, because] of table) assert.deepEqual(found(text), faults, because);
});

test('in lenient mode an ignored key does not stand for what it was meant to be', () => {
  const text = file(
    '[{name: a, operation: [modifyFile], targetFilePaths: [/a]}]',
    '[{match: [a], actions: [alert, block]}]',
  );
  assert.deepEqual(found(text, { mode: 'lenient' }), [
    'FIM_PATH_MISSING at file.selectors[0]',
    'UNKNOWN_KEY at file.selectors[0].targetFilePaths',
    'BLOCK_WITHOUT_PATH at file.responses[0].match[0]',
  ]);
  assert.deepEqual(found(file('[{name: a, operations: [createFile]}]'), { mode: 'lenient' }), [
    'SELECTOR_EMPTY at file.selectors[0]',
    'UNKNOWN_KEY at file.selectors[0].operations',
  ]);
});

test('block asks for an alert and, on files of any kind, for a path', () => {
  const blocking = (selectors: string, responses = '{match: [a], actions: [alert, block]}') =>
    file(selectors, `[${responses}]`);
  const path = 'targetFilePath: [/srv/**]';
  const table: [text: string, faults: string[], because: string][] = [
    [
      blocking('[{name: a, operation: [createExecutable, modifyExecutable]}]'),
      [],
      'executables need no path',
    ],
    [blocking(`[{name: a, operation: [createFile], ${path}}]`), [], 'with a path'],
    [
      blocking('[{name: a, operation: [createFile]}]'),
      ['FIM_PATH_MISSING at file.selectors[0]', 'BLOCK_WITHOUT_PATH at file.responses[0].match[0]'],
      'without',
    ],
    [
      blocking(
        `[{name: a, operation: [createFile]}, {name: b, operation: [createFile], ${path}}]`,
        '{match: [a], exclude: [b], actions: [alert, block]}',
      ),
      ['FIM_PATH_MISSING at file.selectors[0]'],
      'an exclude with a path will do',
    ],
    [
      blocking(
        `[{name: a, operation: [createFile]}, {name: b, operation: [createFile], ${path}}]`,
        '{match: [a, b], actions: [alert, block]}',
      ),
      ['FIM_PATH_MISSING at file.selectors[0]', 'BLOCK_WITHOUT_PATH at file.responses[0].match[0]'],
      'each match needs its own',
    ],
    [
      blocking('[{name: a, ignoreVolumeFiles: true}]'),
      [
        'OPERATION_MISSING at file.selectors[0]',
        'BLOCK_WITHOUT_PATH at file.responses[0].match[0]',
        'NOT_BLOCKABLE at file.responses[0].actions',
      ],
      'no operation means all of them',
    ],
    [
      blocking('[{name: a, operation: [deleteFile], targetFilePath: [/srv/a]}]'),
      ['NOT_BLOCKABLE at file.responses[0].actions'],
      'deleting cannot be denied',
    ],
    [
      process('[{name: a, operation: [exec]}]', '[{match: [a], actions: [alert, block]}]'),
      [],
      'exec can be denied',
    ],
    [
      blocking('[{name: a, operation: [createExecutable], targetFilePath: [/usr/**]}]'),
      [],
      'executables in /usr may be blocked',
    ],
    ...['/**', '/*', '/usr/**', '/etc/**'].map((vital): [string, string[], string] => [
      blocking(`[{name: a, operation: [modifyFile], targetFilePath: [${vital}]}]`),
      ['BLOCK_EVERYTHING at file.selectors[0].targetFilePath[0]'],
      vital,
    ]),
    [
      blocking('[{name: a, operation: [modifyFile], targetFilePath: [/lib/**]}]'),
      [
        'SYMLINKED_PATH at file.selectors[0].targetFilePath[0]',
        'BLOCK_EVERYTHING at file.selectors[0].targetFilePath[0]',
      ],
      'both are true',
    ],
    [file('[{name: a, operation: [modifyFile], targetFilePath: [/etc/**]}]'), [], 'an alert hinders nobody'],
    [
      blocking(
        '[{name: a, operation: [modifyFile], targetFilePath: [/etc/**]}]',
        '{match: [a], actions: [alert, block]}, {match: [a], actions: [log, alert, block]}',
      ),
      ['BLOCK_EVERYTHING at file.selectors[0].targetFilePath[0]'],
      'said once, however many responses',
    ],
  ];
  for (const [text, faults, because] of table) assert.deepEqual(found(text), faults, because);
});

test('another backend has other operations that it cannot deny', () => {
  const text = process('[{name: a, operation: [fork, exec]}]', '[{match: [a], actions: [alert, block]}]');
  const lsm = { name: 'BPF LSM', cannotDeny: new Set([]), remedy: 'nothing' };
  assert.deepEqual(found(text), ['NOT_BLOCKABLE at process.responses[0].actions']);
  assert.deepEqual(found(text, { backend: lsm }), []);
});

test('a response that can never fire is a warning', () => {
  const two = (exclude: string, match = 'operation: [createExecutable], targetFilePath: [/usr/bin/ls]') =>
    file(`[{name: a, ${match}}, {name: b, ${exclude}}]`, '[{match: [a], exclude: [b], actions: [log]}]');
  assert.deepEqual(found(two('operation: [createExecutable], targetFilePath: [/usr/**]')), [
    'NEVER_FIRES at file.responses[0]',
  ]);
  assert.deepEqual(found(two('operation: [createExecutable], targetFilePath: [/opt/**]')), []);
  assert.deepEqual(
    found(two('operation: [createExecutable], targetFilePath: [usr]')),
    ['VALUE_FORM at file.selectors[1].targetFilePath[0]'],
    'a faulty exclude is not judged',
  );
  const both = file(
    '[{name: a, operation: [createExecutable]}, {name: b, operation: [modifyExecutable]}]',
    '[{match: [a, b], exclude: [a], actions: [log]}]',
  );
  assert.deepEqual(
    found(both),
    ['NEVER_FIRES at file.responses[0].exclude[0]'],
    'the other selector still fires it',
  );
});

test('a section may have 64 selectors and responses, the other section not counted', () => {
  const many = (count: number) => {
    const selectors = Array.from(
      { length: count - 1 },
      (_, index) => `{name: s${index}, operation: [createExecutable]}`,
    );
    return file(
      `[${selectors.join(', ')}]`,
      `[{match: [${selectors.map((_, index) => `s${index}`).join(', ')}], actions: [log]}]`,
    );
  };
  const other = process('[{name: a, operation: [exec]}]');
  assert.deepEqual(found(`${many(64)}\n${other}`), []);
  assert.deepEqual(found(`${many(65)}\n${other}`), ['TOO_MANY at file']);
});

test('the policy says each thing once and nothing that is ignored', () => {
  const text = `
file:
  selectors:
    - { name: a, operation: [createFile, createFile], targetFilePath: [/a, /a], ignoreVolumeMounts: false, type: file }
    - { name: b, operation: [modifyFile], targetFilePath: [/b], ignoreVolumeFiles: true }
  responses:
    - { match: [a, b, a], actions: [block, alert, log, log], hasErrors: false }
version: 3
`;
  assert.deepEqual(readPolicy(text).policy, {
    file: {
      selectors: [
        { name: 'a', operation: ['createFile'], targetFilePath: ['/a'] },
        { name: 'b', operation: ['modifyFile'], targetFilePath: ['/b'], ignoreVolumeFiles: true },
      ],
      responses: [{ match: ['a', 'b'], exclude: [], actions: ['log', 'alert', 'block'] }],
    },
  });
});

test('a duplicate key keeps a policy from being used, beside whatever else is wrong', () => {
  const { policy, faults } = readPolicy(`${file('[{name: a, name: b, operation: [exec]}]')}`);
  assert.equal(policy, undefined);
  assert.deepEqual(
    faults.map(({ code }) => code),
    ['POLICY_SYNTAX', 'POLICY_UNKNOWN_OPERATION'],
  );
});

test('a policy that came as an object is read from its JSON', () => {
  const spec = {
    file: {
      selectors: [{ name: 'a', operation: ['createExecutable'] }],
      responses: [{ match: ['a'], actions: ['log'] }],
    },
  };
  assert.deepEqual(found(JSON.stringify(spec)), []);
  assert.deepEqual(found(JSON.stringify({ ...spec, netwrok: {} })), ['UNKNOWN_KEY at netwrok']);
});

for (const folder of ['test/fixtures/policies/valid', 'charts/d4c-gate/policies']) {
  for (const name of readdirSync(join(root, folder))) {
    test(`has no fault in either mode: ${folder}/${name}`, () => {
      const text = readFileSync(join(root, folder, name), 'utf8');
      for (const mode of ['strict', 'lenient'] as const) {
        const { policy, faults } = readPolicy(text, { mode });
        assert.deepEqual(faults, []);
        assert.notEqual(policy, undefined);
      }
    });
  }
}

test('drift-prevention is default with block, and detections contains default', () => {
  const shipped = (name: string) =>
    readPolicy(readFileSync(join(root, `charts/d4c-gate/policies/${name}.yaml`), 'utf8')).policy;
  const [usual, drift, detections] = [shipped('default'), shipped('drift-prevention'), shipped('detections')];
  assert.deepEqual(usual?.process?.selectors, [{ name: 'allProcesses', operation: ['fork', 'exec'] }]);
  assert.deepEqual(usual?.process?.responses, [{ match: ['allProcesses'], exclude: [], actions: ['log'] }]);
  assert.deepEqual(usual?.file?.selectors, [
    { name: 'executableChanges', operation: ['createExecutable', 'modifyExecutable'] },
  ]);
  assert.deepEqual(usual?.file?.responses, [
    { match: ['executableChanges'], exclude: [], actions: ['alert'] },
  ]);
  assert.deepEqual(drift?.process, usual?.process);
  assert.deepEqual(drift?.file?.selectors, usual?.file?.selectors);
  assert.deepEqual(drift?.file?.responses, [
    { match: ['executableChanges'], exclude: [], actions: ['alert', 'block'] },
  ]);
  assert.deepEqual(detections?.process, usual?.process);
  assert.deepEqual(detections?.file?.selectors[0], usual?.file?.selectors[0]);
  assert.ok(
    detections?.file?.responses.every(({ actions }) => actions.includes('log') && !actions.includes('block')),
  );
});
