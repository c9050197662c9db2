/** Many openers at once: what an open takes of the machine's time, how many verdicts one reader gives, and the longest wait. */

import type { Container, ContainerHost } from '../../test/support/containers.ts';
import { must } from '../../test/support/programs.ts';
import { fileTable, testGate } from '../../test/support/testGate.ts';
import { startGate } from '../d4c-gate.ts';
import { startFapolicyd } from '../fapolicyd.ts';
import { policies } from './policies.ts';
import { type FigureRow, type GateName, rounded } from './rows.ts';

/** For every container to have its openers ready. */
const readyMs = 1_500;
const rushMs = 2_000;

interface Opener {
  readonly opens: number;
  readonly longestUs: number;
}

/** So many processes in each container open the file at once, for `rushMs`. */
async function rush(containers: readonly Container[], openersEach: number, how: 'open' | 'write' = 'open') {
  const at = Date.now() + readyMs;
  const args = ['rush', how, '/etc/passwd', String(openersEach), String(at), String(rushMs)];
  const ran = await Promise.all(containers.map((container) => container.exec('/bin/probe', ...args)));
  return ran.flatMap(({ exitCode, stdout, stderr }): Opener[] => {
    if (exitCode !== 0) throw new Error(`probe rush ended with ${exitCode}: ${stderr}`);
    return stdout
      .trim()
      .split('\n')
      .map((line) => {
        const [opens = 0, longestUs = 0] = line.split(' ').map(Number);
        return { opens, longestUs };
      });
  });
}

/** Starts containers, four at a time, hands them to `use` and removes them. */
async function withContainers<T>(
  host: ContainerHost,
  count: number,
  use: (containers: readonly Container[]) => Promise<T>,
  ids: readonly string[] = [],
): Promise<T> {
  const containers: Container[] = [];
  try {
    for (let from = 0; from < count; from += 4) {
      const next = Array.from({ length: Math.min(4, count - from) }, (_, index) => ids[from + index]);
      containers.push(
        ...(await Promise.all(next.map((id) => host.startRunc(id === undefined ? {} : { id })))),
      );
    }
    return await use(containers);
  } finally {
    await Promise.all(containers.map(({ remove }) => remove()));
  }
}

const opensOf = (openers: readonly Opener[]): number => openers.reduce((sum, { opens }) => sum + opens, 0);

/** 64 openers in 16 containers, whose every open is judged: wall time for each open. */
export async function crowd(
  host: ContainerHost,
  folder: string,
  withFapolicyd: boolean,
): Promise<FigureRow[]> {
  const row = (gate: GateName, openers: readonly Opener[]): FigureRow => ({
    case: '64 openers on 16 containers, FIM policy',
    gate,
    value: rounded((rushMs * 1_000) / opensOf(openers)),
    unit: 'us per open',
    ...(gate === 'd4c-gate' && { goal: '<= 20' }),
  });
  const rows: FigureRow[] = [];
  await withContainers(host, 16, async (containers) => {
    rows.push(row('none', await rush(containers, 4)));
    if (!withFapolicyd) return;
    const fapolicyd = await startFapolicyd(folder);
    try {
      rows.push(row('fapolicyd', await rush(containers, 4)));
    } finally {
      await fapolicyd.stop();
    }
  });
  const gate = await startGate(folder, [policies['FIM policy']]);
  try {
    rows.push(row('d4c-gate', await withContainers(host, 16, (containers) => rush(containers, 4))));
  } finally {
    await gate.stop();
  }
  return rows;
}

/** What one reader answers: the keeper is kept on one processor, and has one reader then. */
export async function oneReader(host: ContainerHost, folder: string): Promise<FigureRow[]> {
  const gate = await startGate(folder, [policies['FIM policy']], ['taskset', '-c', '0']);
  try {
    const openers = await withContainers(host, 1, (containers) => rush(containers, 16));
    const value = Math.round((opensOf(openers) * 1_000) / rushMs);
    return [
      {
        case: 'verdicts of one reader, FIM policy',
        gate: 'd4c-gate',
        value,
        unit: 'per second',
        goal: '>= 50000',
      },
    ];
  } finally {
    await gate.stop();
  }
}

const stallMs = 200;

/** The longest wait of openers that read or write, while `stall` is repeated. */
async function longestWait(
  containers: readonly Container[],
  hows: readonly ('open' | 'write')[],
  stall: () => Promise<unknown>,
): Promise<number> {
  const opened = Promise.all(hows.map((how) => rush(containers, 1, how)));
  const end = Date.now() + readyMs + rushMs;
  while (Date.now() < end) await stall();
  return Math.max(...(await opened).flat().map(({ longestUs }) => longestUs)) / 1_000;
}

/** Of one opener that reads and of one that writes, each by itself, and of both at once. */
async function longestWaits(
  gate: GateName,
  containers: readonly Container[],
  stall: () => Promise<unknown>,
): Promise<FigureRow[]> {
  const alone = [
    await longestWait(containers, ['open'], stall),
    await longestWait(containers, ['write'], stall),
  ];
  const row = { gate, unit: 'ms' };
  return [
    {
      ...row,
      case: `longest wait of one opener, JavaScript stalls for ${stallMs} ms`,
      value: rounded(Math.max(...alone)),
      ...(gate === 'd4c-gate' && { goal: '<= 10' }),
    },
    {
      ...row,
      case: `longest wait of two openers, JavaScript stalls for ${stallMs} ms`,
      value: rounded(await longestWait(containers, ['open', 'write'], stall)),
    },
  ];
}

/**
 * While the agent's JavaScript stalls for 200 ms again and again, and beside it with no gate, where other JavaScript keeps a
 * processor as busy: on two processors, two openers wait for each other and for it, too. With the gate, the writer is refused.
 */
export async function stalled(host: ContainerHost): Promise<FigureRow[]> {
  const busy = `const end = performance.now() + ${stallMs}; while (performance.now() < end);`;
  const none = await withContainers(host, 1, (containers) =>
    longestWaits('none', containers, () => must(process.execPath, ['-e', busy])),
  );
  const id = `${host.folder.split('/').at(-1)}-stalled`;
  const gate = await testGate({
    tables: { [id]: fileTable(['modifyFile'], ['/etc/**'], ['alert', 'block']) },
  });
  try {
    const stall = () => gate.ask({ type: 'stall', ms: stallMs });
    const rows = await withContainers(host, 1, (containers) => longestWaits('d4c-gate', containers, stall), [
      id,
    ]);
    return [...none, ...rows];
  } finally {
    await gate.close();
  }
}
