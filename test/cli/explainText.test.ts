import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderExplanation } from '../../src/cli/explainText.ts';
import type { Pod } from '../../src/cli/pod.ts';
import { explainPod, type Question } from '../../src/cli/podExplanation.ts';
import { compile } from '../../src/policy/compile.ts';
import { readPolicy } from '../../src/policy/read.ts';

const pod: Pod = {
  kind: 'Deployment',
  name: 'web',
  namespace: 'shop',
  podName: undefined,
  labels: new Map([['app', '']]),
  containers: [
    { name: 'web', image: 'nginx:1.27' },
    { name: 'side', image: 'redis@sha256:'.padEnd(77, '0') },
  ],
};

/** The text about one process policy of one selector. */
function textOf(conditions: object, question: Partial<Question> = {}): string {
  const selectors = [{ name: 's', operation: ['exec'], ...conditions }];
  const { policy } = readPolicy(
    JSON.stringify({ process: { selectors, responses: [{ match: ['s'], actions: ['log'] }] } }),
  );
  assert.ok(policy);
  const whole = { pod, mode: 'enforce', modeAssumed: false, onUnknown: 'allow', ...question } as const;
  return renderExplanation(explainPod([compile('p', policy)], whole));
}

test('what is not known or absent is said in words', () => {
  assert.match(
    textOf({ kubernetesPodName: ['web-*'] }),
    /^ {4}unknown {2}kubernetesPodName web-\*: not known$/m,
  );
  assert.match(textOf({ containerImageTag: ['7'] }), /^ {4}no {7}containerImageTag 7: there is none$/m);
  assert.match(
    textOf({ kubernetesPodLabel: ['tier:*'] }),
    /^ {4}no {7}kubernetesPodLabel tier:\*: there is none$/m,
  );
  const labels = new Map([['pod-template-hash', undefined]]);
  assert.match(
    textOf({ kubernetesPodLabel: ['pod-template-hash:*'] }, { pod: { ...pod, labels } }),
    /^ {4}unknown {2}kubernetesPodLabel pod-template-hash:\*: not known$/m,
  );
});

test('a generated name shows what is still to come', () => {
  const generated = { pod: { ...pod, podName: { generateName: 'web-' } } };
  assert.match(
    textOf({ kubernetesPodName: ['web-b*'] }, generated),
    /web-b\*: it is web-\?{5}, which may become web-b\*$/m,
  );
});

test('containers of which the same is to be said share their lines, others do not', () => {
  assert.match(textOf({ kubernetesNamespace: ['shop'] }), /^policy p applies to web, side$/m);
  const apart = textOf({ containerImageName: ['redis'] });
  assert.match(apart, /^policy p does not apply to web$/m);
  assert.match(apart, /^policy p applies to side$/m);
});

test('control characters of names do not reach the terminal', () => {
  const hostile = {
    pod: { ...pod, containers: [{ name: 'web', image: '\u001b[2Jnginx\nverdict: allow\u202e' }] },
  };
  const text = textOf({}, hostile);
  assert.match(text, /image \\u\{1b\}\[2Jnginx\\u\{a\}verdict: allow\\u\{202e\}$/m);
});
