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

/** Every file operation below /data, by one selector for each operation. */
const allBelowWork = () => {
  const operations = ['createExecutable', 'modifyExecutable', 'createFile', 'modifyFile', 'deleteFile'];
  return tableOf({
    file: {
      selectors: operations.map((operation) => ({
        name: operation.toLowerCase(),
        operation: [operation],
        targetFilePath: ['/data/**'],
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
    await must('mkdir', ['-p', join(host.folder, 'image/data')]);
    for (const [name, mode] of [
      ['plain', 0o644],
      ['program', 0o755],
      ['cut', 0o644],
      ['kept', 0o644],
      ['kept-too', 0o644],
    ] as const) {
      await writeFile(join(host.folder, 'image/data', name), 'of the image', { mode });
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
    const mark = `/data/mark-${seen}`;
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

  /** A flood in the folder that is about to begin, or other changes; `go` lets it, and waits for its end. */
  const floodIn = async (
    folder: string,
    count: number,
    how: 'flood' | 'replace' | 'upgrade' = 'flood',
  ): Promise<{ go(): Promise<void> }> => {
    const flooding = opener(container, how, folder, String(count));
    const work = join(host.folder, id, 'rootfs', folder);
    await eventually('it runs', () => existsSync(join(work, 'started')));
    return {
      go: async () => {
        await mkdir(join(work, 'go'));
        assert.equal(await flooding, 'ok');
      },
    };
  };

  /** Something is done while the keeper is stopped. */
  const unheard = async (act: () => Promise<void>): Promise<void> => {
    const keeper = Number((await readFile(`/proc/${gate.pid}/task/${gate.pid}/children`, 'utf8')).trim());
    process.kill(keeper, 'SIGSTOP');
    try {
      await act();
    } finally {
      process.kill(keeper, 'SIGCONT');
    }
  };
  const floodUnheard = async (folder: string, count: number): Promise<void> =>
    unheard((await floodIn(folder, count)).go);

  for (const [title, calls, expected] of [
    [
      'an open that creates is told once, whatever follows',
      [['open', '/data/a', '755', 'CREAT', 'WRONLY']],
      ['open /data/a: createExecutable createFile'],
    ],
    [
      'mknod',
      [
        ['mknod', '/data/node', '644'],
        ['mknod', '/data/node-x', '755'],
      ],
      ['creation /data/node: createFile', 'creation /data/node-x: createExecutable createFile'],
    ],
    [
      'an unnamed file that is given a name',
      [['named', '/data', '755', '/data/named']],
      [
        /^open \/data\/#\d+: createExecutable createFile$/,
        'creation /data/named: createExecutable createFile',
      ],
    ],
    ['symlink', [['symlink', '/bin/sh', '/data/sym']], ['creation /data/sym: createFile']],
    [
      'a hard link to a new file, and to one of the image',
      [
        ['link', '/data/a', '/data/b'],
        ['link', '/data/program', '/data/program-too'],
      ],
      ['link /data/b: createExecutable createFile', 'link /data/program-too: createExecutable createFile'],
    ],
    [
      'the first execute bit, and no further one',
      [
        ['mknod', '/data/c', '644'],
        ['chmod', '/data/c', '600'],
        ['chmod', '/data/c', '700'],
        ['chmod', '/data/c', '755'],
      ],
      ['creation /data/c: createFile', 'attributes /data/c: createExecutable'],
    ],
    [
      'the first execute bit of a file of the image',
      [
        ['chmod', '/data/program', '700'],
        ['chmod', '/data/plain', '755'],
      ],
      ['attributes /data/plain: createExecutable'],
    ],
    [
      'rename to a new name, and over a program',
      [
        ['rename', '/data/c', '/data/d'],
        ['rename', '/data/d', '/data/a'],
      ],
      [
        'rename /data/c /data/d: createExecutable createFile deleteFile',
        'rename /data/d /data/a: modifyExecutable modifyFile deleteFile',
      ],
    ],
    [
      'rename over a program of the image',
      [
        ['rename', '/data/a', '/data/program-too'],
        ['rename', '/data/program-too', '/data/program'],
      ],
      [
        'rename /data/a /data/program-too: modifyExecutable modifyFile deleteFile',
        'rename /data/program-too /data/program: modifyExecutable modifyFile deleteFile',
      ],
    ],
    [
      'truncate of a file of the image, and no other change that copies it up',
      [
        ['truncate', '/data/cut', '3'],
        ['open', '/data/kept', '0', 'WRONLY', 'TRUNC'],
        ['chmod', '/data/kept-too', '600'],
      ],
      ['modification /data/cut: modifyFile', 'open /data/kept: modifyFile'],
    ],
    [
      'unlink of new files and of those of the image',
      [
        ['unlink', '/data/b', '-'],
        ['unlink', '/data/plain', '-'],
      ],
      ['deletion /data/b: deleteFile', 'deletion /data/plain: deleteFile'],
    ],
    [
      'a name that was deleted before, and is used again',
      [
        ['mknod', '/data/plain', '644'],
        ['unlink', '/data/plain', '-'],
        ['open', '/data/plain', '644', 'CREAT', 'WRONLY'],
      ],
      [
        'creation /data/plain: createFile',
        'deletion /data/plain: deleteFile',
        'open /data/plain: createFile',
      ],
    ],
    [
      'two names that are exchanged: each is modified',
      [
        ['mknod', '/data/one', '755'],
        ['mknod', '/data/two', '644'],
        ['exchange', '/data/one', '/data/two'],
      ],
      [
        'creation /data/one: createExecutable createFile',
        'creation /data/two: createFile',
        'rename /data/one /data/two: createExecutable modifyFile deleteFile',
        'rename /data/two /data/one: modifyExecutable modifyFile deleteFile',
      ],
    ],
    [
      'rename of a file of the image, and of a new one, to a name that was deleted before',
      [
        ['unlink', '/data/plain', '-'],
        ['rename', '/data/kept', '/data/plain'],
        ['unlink', '/data/plain', '-'],
        ['mknod', '/data/e', '644'],
        ['rename', '/data/e', '/data/plain'],
      ],
      [
        'deletion /data/plain: deleteFile',
        'rename /data/kept /data/plain: createFile deleteFile',
        'deletion /data/plain: deleteFile',
        'creation /data/e: createFile',
        'rename /data/e /data/plain: createFile deleteFile',
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

  for (const [how, title] of [
    ['replace', 'a rename over a file is told as one, whatever others do meanwhile'],
    ['upgrade', 'so is one over a file that has another name meanwhile'],
  ] as const) {
    test(title, async () => {
      const count = 1000;
      const folder = `/data/${how}`;
      await container.sh(`mkdir -p /data/busy/${how}-1 /data/busy/${how}-2 ${folder}`);
      await opener(container, 'mknod', `${folder}/kept`, '644');
      const floods = await Promise.all([1, 2].map((at) => floodIn(`/data/busy/${how}-${at}`, 2000)));
      const renaming = await floodIn(folder, count, how);
      await Promise.all([...floods, renaming].map(({ go }) => go()));
      const renames = (await told()).filter((line) => line.startsWith(`rename ${folder}/`));
      const over = renames.filter((line) => line.includes(` ${folder}/kept:`));
      assert.deepEqual(over.filter((line) => !line.includes(' modifyFile ')).slice(0, 5), []);
      assert.equal(over.length, count);
      const toFree = renames.filter((line) => line.includes(` ${folder}/free-`));
      assert.equal(toFree.filter((line) => line.endsWith(': createFile deleteFile')).length, count);
    });
  }

  test('and one wherever what the keeper reads together ends', async () => {
    for (let others = 0; others < 7; others++) {
      const count = 1500;
      const folder = `/data/cut-${others}`;
      await container.sh(`mkdir ${folder}`);
      await opener(container, 'mknod', `${folder}/kept`, '644');
      const renaming = await floodIn(folder, count, 'upgrade');
      await unheard(async () => {
        for (let i = 0; i < others; i++) await mkdir(join(host.folder, id, 'rootfs', folder, `${i}`));
        await renaming.go();
      });
      const over = (await told()).filter((line) => /^rename .*\/kept:/.test(line));
      assert.deepEqual(over.filter((line) => !line.includes(' modifyFile ')).slice(0, 5), [], `${others}`);
      assert.equal(over.length, count);
    }
  });

  test('folders that are gone by the time their events are read are no failure', async () => {
    assert.equal(await opener(container, 'folders', '/data', '3000'), 'ok');
    await told();
    assert.deepEqual(gate.failures, []);
  });

  test('what the host does in the container’s root filesystem is not told', async () => {
    const path = join(host.folder, id, 'rootfs/data/of-the-host');
    await writeFile(path, '#!/bin/sh\n', { mode: 0o755 });
    // By this process, which lives on: one that has ended by the time it is looked at is taken as the container's.
    await rename(path, `${path}-moved`);
    assert.deepEqual(await told(), []);
  });

  test('what the kernel’s queue could not hold is counted, and what comes next is told right', async () => {
    await container.sh('cat /bin/busybox > /data/before-loss');
    await gate.event(({ path }) => path === '/data/before-loss');
    await floodUnheard('/data', 20000);
    await eventually('the loss is counted', () =>
      gate.failures.splice(0).some(({ failure }) => failure === 'changes_lost'),
    );
    await opener(container, 'chmod', '/data/before-loss', '755');
    await gate.event(({ kind, path }) => kind === 'attributes' && path === '/data/before-loss');
  });

  test('of a process that has ended by then its program is told, and no user that was not read', async () => {
    await container.sh('mkdir /data/few');
    await floodUnheard('/data/few', 1);
    const { process: ended } = await gate.event(({ path }) => path === '/data/few/0');
    assert.deepEqual([ended.executable, ended.startTicks], ['/bin/opener', 0]);
    assert.deepEqual(
      [ended.uid, ended.gid, ended.euid, ended.egid],
      [undefined, undefined, undefined, undefined],
    );
  });

  test('a flood of deletions is told, or counted as lost', async () => {
    await container.sh('mkdir /data/many && cd /data/many && seq 1 500 | xargs touch && rm -r /data/many');
    const deleted = () =>
      gate.events.filter(({ kind, path }) => kind === 'deletion' && path.startsWith('/data/many/'));
    await eventually('they are told', () => deleted().length === 500);
    assert.deepEqual(gate.failures, []);
  });
});
