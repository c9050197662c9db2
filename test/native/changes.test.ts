/** What happens without a permission event: what the gate tells of links, renames, deletions and modes. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must } from '../support/programs.ts';
import { type TestGate, tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
let host: ContainerHost;
const idOf = (name: string): string => `${containerPrefix}${process.pid}-${name}`;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

/** Every file operation below /work, by one selector for each operation. */
const allBelowWork = () => {
  const operations = ['createExecutable', 'modifyExecutable', 'createFile', 'modifyFile', 'deleteFile'];
  return tableOf({
    file: {
      selectors: operations.map((operation) => ({
        name: operation.toLowerCase(),
        operation: [operation],
        targetFilePath: ['/work/**'],
      })),
      responses: [{ match: operations.map((operation) => operation.toLowerCase()), actions: ['log'] }],
    },
  });
};

describe('rules that report', { skip }, () => {
  const id = idOf('changes');
  let gate: TestGate;
  let container: Container;
  let seen = 0;
  before(async () => {
    await must('mkdir', ['-p', join(host.folder, 'image/work')]);
    for (const [name, mode] of [
      ['plain', 0o644],
      ['program', 0o755],
      ['cut', 0o644],
      ['kept', 0o644],
      ['kept-too', 0o644],
    ] as const) {
      await writeFile(join(host.folder, 'image/work', name), 'of the image', { mode });
    }
    gate = await testGate({ tables: { [id]: allBelowWork() } });
    container = await host.startRunc({ id });
  });
  after(async () => {
    await container?.remove();
    await gate?.close();
  });

  /** What was told since the last call, up to a file that is made as a mark: nothing is told later than mknod. */
  const told = async (): Promise<string[]> => {
    const mark = `/work/mark-${seen}`;
    await opener(container, 'mknod', mark, '644');
    await gate.event(({ path }) => path === mark);
    const events = gate.events.slice(seen).filter(({ path }) => path !== mark);
    seen = gate.events.length;
    return events.map(({ kind, operations, oldPath, path, process }) => {
      assert.equal(process.executable, '/bin/opener', `${kind} ${path}`);
      const from = oldPath === undefined ? '' : `${oldPath} `;
      return `${kind} ${from}${path}: ${operations.join(' ')}`;
    });
  };

  for (const [title, calls, expected] of [
    [
      'an open that creates is told once, whatever follows',
      [['open', '/work/a', '755', 'CREAT', 'WRONLY']],
      ['open /work/a: createExecutable createFile'],
    ],
    [
      'mknod',
      [
        ['mknod', '/work/node', '644'],
        ['mknod', '/work/node-x', '755'],
      ],
      ['creation /work/node: createFile', 'creation /work/node-x: createExecutable createFile'],
    ],
    [
      'an unnamed file that is given a name',
      [['named', '/work', '755', '/work/named']],
      [
        /^open \/work\/#\d+: createExecutable createFile$/,
        'creation /work/named: createExecutable createFile',
      ],
    ],
    ['symlink', [['symlink', '/bin/sh', '/work/sym']], ['creation /work/sym: createFile']],
    [
      'a hard link to a new file, and to one of the image',
      [
        ['link', '/work/a', '/work/b'],
        ['link', '/work/program', '/work/program-too'],
      ],
      ['link /work/b: createExecutable createFile', 'link /work/program-too: createExecutable createFile'],
    ],
    [
      'the first execute bit, and no further one',
      [
        ['mknod', '/work/c', '644'],
        ['chmod', '/work/c', '600'],
        ['chmod', '/work/c', '700'],
        ['chmod', '/work/c', '755'],
      ],
      ['creation /work/c: createFile', 'attributes /work/c: createExecutable'],
    ],
    [
      'the first execute bit of a file of the image',
      [
        ['chmod', '/work/program', '700'],
        ['chmod', '/work/plain', '755'],
      ],
      ['attributes /work/plain: createExecutable'],
    ],
    [
      'rename to a new name, and over a program',
      [
        ['rename', '/work/c', '/work/d'],
        ['rename', '/work/d', '/work/a'],
      ],
      [
        'rename /work/c /work/d: createExecutable createFile deleteFile',
        'rename /work/d /work/a: modifyExecutable modifyFile deleteFile',
      ],
    ],
    [
      'rename over a program of the image',
      [
        ['rename', '/work/a', '/work/program-too'],
        ['rename', '/work/program-too', '/work/program'],
      ],
      [
        'rename /work/a /work/program-too: modifyExecutable modifyFile deleteFile',
        'rename /work/program-too /work/program: modifyExecutable modifyFile deleteFile',
      ],
    ],
    [
      'truncate of a file of the image, and no other change that copies it up',
      [
        ['truncate', '/work/cut', '3'],
        ['open', '/work/kept', '0', 'WRONLY', 'TRUNC'],
        ['chmod', '/work/kept-too', '600'],
      ],
      ['modification /work/cut: modifyFile', 'open /work/kept: modifyFile'],
    ],
    [
      'unlink of new files and of those of the image',
      [
        ['unlink', '/work/b', '-'],
        ['unlink', '/work/plain', '-'],
      ],
      ['deletion /work/b: deleteFile', 'deletion /work/plain: deleteFile'],
    ],
    [
      'a name that was deleted before, and is used again',
      [
        ['mknod', '/work/plain', '644'],
        ['unlink', '/work/plain', '-'],
        ['open', '/work/plain', '644', 'CREAT', 'WRONLY'],
      ],
      [
        'creation /work/plain: createFile',
        'deletion /work/plain: deleteFile',
        'open /work/plain: createFile',
      ],
    ],
  ] as [string, [string, ...string[]][], (string | RegExp)[]][]) {
    test(title, async () => {
      for (const call of calls) assert.equal(await opener(container, ...call), 'ok');
      const lines = await told();
      const fits = (line: string, index: number): boolean => {
        const wanted = expected[index];
        return typeof wanted === 'string' ? line === wanted : (wanted?.test(line) ?? false);
      };
      assert.ok(lines.length === expected.length && lines.every(fits), lines.join('\n'));
    });
  }

  test('what the host does in the container’s root filesystem is not told', async () => {
    const path = join(host.folder, id, 'rootfs/work/of-the-host');
    await writeFile(path, '#!/bin/sh\n', { mode: 0o755 });
    // By this process, which lives on: one that has ended by the time it is looked at is taken as the container's.
    await rename(path, `${path}-moved`);
    assert.deepEqual(await told(), []);
  });

  test('what the kernel’s queue could not hold is counted, and what comes next is told right', async () => {
    await container.sh('cat /bin/busybox > /work/before-loss');
    await gate.event(({ path }) => path === '/work/before-loss');
    const flooding = opener(container, 'flood', '/work', '20000');
    const work = join(host.folder, id, 'rootfs/work');
    await eventually('it runs', () => existsSync(join(work, 'started')));
    const keeper = Number((await readFile(`/proc/${gate.pid}/task/${gate.pid}/children`, 'utf8')).trim());
    process.kill(keeper, 'SIGSTOP');
    try {
      await mkdir(join(work, 'go'));
      assert.equal(await flooding, 'ok');
    } finally {
      process.kill(keeper, 'SIGCONT');
    }
    await eventually('the loss is counted', () =>
      gate.failures.splice(0).some(({ failure }) => failure === 'changes_lost'),
    );
    await opener(container, 'chmod', '/work/before-loss', '755');
    await gate.event(({ kind, path }) => kind === 'attributes' && path === '/work/before-loss');
  });

  test('a flood of deletions is told, or counted as lost', async () => {
    await container.sh('mkdir /work/many && cd /work/many && seq 1 500 | xargs touch && rm -r /work/many');
    const deleted = () =>
      gate.events.filter(({ kind, path }) => kind === 'deletion' && path.startsWith('/work/many/'));
    await eventually('they are told', () => deleted().length === 500);
    assert.deepEqual(gate.failures, []);
  });
});
