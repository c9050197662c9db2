/**
 * Real containers for tests: runc on an overlay, and containerd with `ctr`.
 *
 * Owns a temporary folder, the mounts in it, the containers and one private containerd whose root, state and
 * socket lie in that folder. `close` gives all of it back, also after a failure; every call has a time limit.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildRootFilesystem, packImage, staticBusybox, testImage } from './image.ts';
import { clearLeftovers, containerPrefix, folderPrefix, removeFolder } from './leftovers.ts';
import { eventually, isInstalled, must, type Ran, run } from './programs.ts';
import { type OciMount, runcConfig } from './runcConfig.ts';

/** Why containers cannot run here, or `undefined` when they can. Give it to `skip`. */
export function requirements(...programs: ('runc' | 'containerd')[]): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root';
  const wanted = (programs.length === 0 ? ['runc'] : programs).flatMap((program) =>
    program === 'containerd' ? ['containerd', 'ctr', 'runc'] : [program],
  );
  const missing = [...wanted, 'tar', 'mount'].filter((program) => !isInstalled(program));
  if (!existsSync(staticBusybox)) missing.push('busybox-static');
  return missing.length === 0 ? undefined : `needs ${[...new Set(missing)].join(', ')}`;
}

/** A container that was started. */
export interface Container {
  readonly id: string;
  /** Of the container's first process, in the host's pid namespace. */
  readonly pid: number;
  /** Runs a program in the container to its end. */
  exec(...args: string[]): Promise<Ran>;
  /** Runs a shell line in the container. */
  sh(line: string): Promise<Ran>;
  /** Puts a program that is not in the image at `path`, and runs it: prints `ran` and exits with 0. */
  dropAndRun(path: string): Promise<Ran>;
  /** Kills and removes the container. Twice is fine. */
  remove(): Promise<void>;
}

export interface StartOptions {
  /** Unique on this machine; made up when left out. */
  readonly id?: string;
  /** The container's program (default: sleeps for 1000 s). */
  readonly args?: readonly string[];
  /** Annotations of the OCI configuration; for containerd, labels of the container. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Of runc containers: capabilities besides the usual ones. */
  readonly capabilities?: readonly string[];
  /** Mounted besides what every container has. */
  readonly volumes?: readonly OciMount[];
  /** Of runc containers: whether they have the host's pid namespace. */
  readonly sharesProcesses?: boolean;
  /** Of `runRunc`: the runtime's file (default: `runc`). */
  readonly runtime?: string;
  /** Of `runRunc`: where the runtime keeps its state (default: where an agent looks for it). Elsewhere nobody knows whose the container is. */
  readonly stateFolder?: string;
  /** For containerd: its namespace (default: `default`). */
  readonly namespace?: string;
}

export interface ContainerHost {
  /** On the disk of the temporary folder. */
  readonly folder: string;
  /** Starts a runc container on an overlay of its own, known to runc under `/run/runc`. */
  startRunc(options?: StartOptions): Promise<Container>;
  /**
   * `runc run` in the foreground: ends when the program does. Says what runc said when the first program
   * was refused. `upper` is the folder in which the container's changes are.
   */
  runRunc(options: StartOptions): Promise<Ran & { upper: string }>;
  /** Starts a container in the private containerd, which is started at the first call. */
  startContainerd(options?: StartOptions): Promise<Container>;
  /** Starts the private containerd, where no container of it was started before, and gives its socket. */
  openContainerd(): Promise<string>;
  /** Ends the private containerd and starts it again; its containers go on. */
  restartContainerd(): Promise<void>;
  /** A container's ID that is unique on this machine. */
  nextId(): string;
  /** The private containerd's socket. */
  readonly containerdSocket: string;
  /** Its folder of runtime state, as `/run/containerd` is for the machine's own. */
  readonly containerdState: string;
  close(): Promise<void>;
}

/** A shell line that copies busybox to `path` and runs the copy, which prints `ran`. */
export function dropLine(path: string): string {
  // Busybox only answers to names of applets and to names that begin with its own.
  if (!/\/busybox[^/]*$/.test(path)) throw new Error(`the name of \`${path}\` must begin with \`busybox\``);
  return `cp /bin/busybox ${path} && chmod 755 ${path} && exec ${path} echo ran`;
}

const sleeping = ['/bin/sleep', '1000'];
const runcRoot = '/run/runc';
let count = 0;

/** Builds the image and gives the means to start containers of it. `close` it in any case. */
export async function containerHost(): Promise<ContainerHost> {
  await clearLeftovers();
  const folder = await mkdtemp(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  const lower = join(folder, 'image');
  const undo: (() => Promise<unknown>)[] = [() => removeFolder(folder)];
  let containerd: Promise<ChildProcess> | undefined;
  const socket = join(folder, 'containerd.sock');
  const state = join(folder, 'state');
  const nextId = () => `${containerPrefix}${process.pid}-${++count}`;

  const prepareRunc = async (options: StartOptions) => {
    const id = options.id ?? nextId();
    const bundle = join(folder, id);
    const [rootfs, upper, work] = [join(bundle, 'rootfs'), join(bundle, 'upper'), join(bundle, 'work')];
    for (const each of [rootfs, upper, work]) await mkdir(each, { recursive: true });
    await writeFile(
      join(bundle, 'config.json'),
      JSON.stringify(
        runcConfig(
          id,
          options.args ?? sleeping,
          options.annotations ?? {},
          options.capabilities,
          options.volumes,
          options.sharesProcesses,
        ),
      ),
    );
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    await must('mount', ['-t', 'overlay', 'overlay', '-o', layers, rootfs]);
    let removed = false;
    const remove = async () => {
      if (removed) return;
      removed = true;
      await run('runc', ['--root', runcRoot, 'delete', '--force', id]);
      await eventually(
        `\`${rootfs}\` is unmounted`,
        async () => (await run('umount', [rootfs])).exitCode === 0,
      );
    };
    undo.push(remove);
    return { id, bundle, upper, remove };
  };

  const endDaemon = async (daemon: ChildProcess) => {
    daemon.kill('SIGTERM');
    await eventually('containerd ends', () => daemon.exitCode !== null || daemon.signalCode !== null);
  };
  const startContainerdDaemon = async () => {
    const config = join(folder, 'containerd.toml');
    const lines = [
      'version = 2',
      `root = "${join(folder, 'containerd')}"`,
      `state = "${state}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `address = "${socket}"`,
    ];
    await writeFile(config, `${lines.join('\n')}\n`);
    const logFile = openSync(join(folder, 'containerd.log'), 'a');
    const daemon = spawn('containerd', ['--config', config], { stdio: ['ignore', logFile, logFile] });
    closeSync(logFile);
    undo.push(() => endDaemon(daemon));
    await eventually('containerd answers', async () => {
      if (daemon.exitCode !== null) {
        throw new Error(`containerd ended: ${await readFile(join(folder, 'containerd.log'), 'utf8')}`);
      }
      return (await run('ctr', ['-a', socket, 'version'])).exitCode === 0;
    });
    return daemon;
  };

  const importInto = async (namespace: string) => {
    const archive = join(folder, 'image.tar');
    if (!existsSync(archive)) await packImage(lower, join(folder, 'oci'), archive);
    await must('ctr', ['-a', socket, '-n', namespace, 'images', 'import', archive]);
  };
  const imported = new Map<string, Promise<void>>();

  const host: ContainerHost = {
    folder,
    containerdSocket: socket,
    containerdState: state,
    nextId,

    async startRunc(options = {}) {
      const { id, bundle, remove } = await prepareRunc(options);
      const outFile = openSync(join(bundle, 'out'), 'a+');
      const runc = spawn('runc', ['--root', runcRoot, 'run', '--detach', '--bundle', bundle, id], {
        stdio: ['ignore', outFile, outFile],
      });
      closeSync(outFile);
      const limit = setTimeout(() => runc.kill('SIGKILL'), 20_000);
      const exitCode = await new Promise((resolve) => runc.once('exit', resolve));
      clearTimeout(limit);
      if (exitCode !== 0) throw new Error(`runc run: ${await readFile(join(bundle, 'out'), 'utf8')}`);
      const { stdout } = await must('runc', ['--root', runcRoot, 'state', id]);
      const exec = (...args: string[]) => run('runc', ['--root', runcRoot, 'exec', id, ...args]);
      const pid: number = JSON.parse(stdout).pid;
      return container(id, pid, exec, remove);
    },

    async runRunc(options) {
      const { id, bundle, upper, remove } = await prepareRunc(options);
      const runtime = options.runtime ?? 'runc';
      const ran = await run(runtime, [
        '--root',
        options.stateFolder ?? runcRoot,
        'run',
        '--bundle',
        bundle,
        id,
      ]);
      await remove();
      return { ...ran, upper };
    },

    async openContainerd() {
      containerd ??= startContainerdDaemon();
      await containerd;
      return socket;
    },

    async restartContainerd() {
      if (containerd !== undefined) await endDaemon(await containerd);
      containerd = startContainerdDaemon();
      await containerd;
    },

    async startContainerd(options = {}) {
      await host.openContainerd();
      const namespace = options.namespace ?? 'default';
      if (!imported.has(namespace)) imported.set(namespace, importInto(namespace));
      await imported.get(namespace);
      const id = options.id ?? nextId();
      const ctr = ['-a', socket, '-n', namespace];
      const labels = Object.entries(options.annotations ?? {}).flatMap(([k, v]) => ['--label', `${k}=${v}`]);
      let removed = false;
      const remove = async () => {
        if (removed) return;
        removed = true;
        await run('ctr', [...ctr, 'task', 'kill', '-s', 'SIGKILL', id]);
        await run('ctr', [...ctr, 'task', 'rm', '-f', id]);
        await run('ctr', [...ctr, 'container', 'rm', id]);
      };
      undo.push(remove);
      const mounts = (options.volumes ?? []).flatMap(({ type, source, destination, options: how = [] }) => [
        '--mount',
        `type=${type},src=${source},dst=${destination},options=${how.join(':')}`,
      ]);
      await must('ctr', [
        ...ctr,
        'run',
        '-d',
        ...labels,
        ...mounts,
        testImage,
        id,
        ...(options.args ?? sleeping),
      ]);
      const { stdout } = await must('ctr', [...ctr, 'task', 'ls']);
      const pid = Number(
        stdout
          .split('\n')
          .find((line) => line.startsWith(`${id} `))
          ?.split(/ +/)[1],
      );
      let execs = 0;
      const exec = (...args: string[]) =>
        run('ctr', [...ctr, 'task', 'exec', '--exec-id', `e${++execs}`, id, ...args]);
      return container(id, pid, exec, remove);
    },

    async close() {
      const errors: unknown[] = [];
      for (const step of undo.splice(0).reverse()) await step().catch((error: unknown) => errors.push(error));
      if (errors.length > 0) throw new AggregateError(errors, 'containers were left behind');
    },
  };

  await buildRootFilesystem(lower).catch(async (error: unknown) => {
    await host.close();
    throw error;
  });
  return host;
}

function container(
  id: string,
  pid: number,
  exec: (...args: string[]) => Promise<Ran>,
  remove: () => Promise<void>,
): Container {
  const sh = (line: string) => exec('/bin/sh', '-c', line);
  return { id, pid, exec, sh, dropAndRun: (path) => sh(dropLine(path)), remove };
}
