/** What runc and crun leave on disk about each container: where its root filesystem and its bundle are. */

import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type OciSpec, parseOciSpec } from './ociSpec.ts';
import { readJsonFile, stringsAt, textAt, valueAt } from './smallFile.ts';

/** A container as its low-level runtime knows it. */
export interface RuntimeRecord {
  readonly id: string;
  /** The folder that holds the state, for example `/run/runc`: it tells who called the runtime. */
  readonly stateFolder: string;
  readonly rootfs: string;
  readonly spec: OciSpec;
}

export interface RuntimeStates {
  /** The first of `ids` that a runtime knows; else the container with its root filesystem at `mountPoint`. */
  find(ids: readonly string[], mountPoint: string | undefined): Promise<RuntimeRecord | undefined>;
}

/** Folders with one folder per container; `*` stands for any one component. */
const patterns = [
  '/run/runc',
  '/run/crun',
  '/run/containerd/runc/*',
  '/run/docker/runtime-runc/*',
  '/run/user/*/runc',
  '/run/user/*/crun',
  '/run/user/*/docker/runtime-runc/*',
];
const stateFiles = ['state.json', 'status'];
const maxContainers = 10_000;

/** `hostRoot` is where the host's root filesystem is seen: `/`, or a mount of it in the agent's own pod. */
export function runtimeStates(hostRoot = '/'): RuntimeStates {
  /** By state file, what it was when it was looked at last. A state file is replaced when it changes, so an inode and a time mark a version of it. */
  const known = new Map<string, { version: string; rootfs: string | undefined }>();

  const rootfsOf = async (stateFile: string): Promise<string | undefined> => {
    const stats = await stat(stateFile).catch(() => undefined);
    const version = stats === undefined ? 'absent' : `${stats.ino}:${stats.mtimeMs}`;
    const before = known.get(stateFile);
    if (before?.version === version) return before.rootfs;
    const rootfs = stats === undefined ? undefined : locationOf(await readJsonFile(stateFile))?.rootfs;
    known.set(stateFile, { version, rootfs });
    return rootfs;
  };

  const findByMountPoint = async (folders: readonly string[], mountPoint: string) => {
    const files = new Map<string, { folder: string; id: string; name: string }>();
    for (const folder of folders) {
      for (const id of (await readdir(folder).catch(() => [])).slice(0, maxContainers)) {
        for (const name of stateFiles) files.set(join(folder, id, name), { folder, id, name });
      }
    }
    for (const stateFile of known.keys()) if (!files.has(stateFile)) known.delete(stateFile);
    // What is new, or was at the mount point, goes first: a container that starts among a thousand costs two looks and not thousands.
    const isLikely = (stateFile: string): boolean => {
      const before = known.get(stateFile);
      return before === undefined || before.rootfs === mountPoint;
    };
    const likely = [...files.keys()].filter(isLikely);
    for (const stateFile of new Set([...likely, ...files.keys()])) {
      const file = files.get(stateFile);
      if (file === undefined || (await rootfsOf(stateFile)) !== mountPoint) continue;
      const record = await recordOf(hostRoot, file.folder, file.id, file.name);
      if (record !== undefined) return record;
    }
    return undefined;
  };
  /** One after another: an agent that starts asks for every container at once, and the first look tells of all of them. */
  let looking: Promise<unknown> = Promise.resolve();
  const findInTurn = (folders: readonly string[], mountPoint: string): Promise<RuntimeRecord | undefined> => {
    const found = looking.then(() => findByMountPoint(folders, mountPoint));
    looking = found.catch(() => undefined);
    return found;
  };

  return {
    async find(ids, mountPoint) {
      const folders = await stateFolders(hostRoot);
      for (const id of ids) {
        for (const folder of folders) {
          for (const name of stateFiles) {
            const record = await recordOf(hostRoot, folder, id, name);
            if (record !== undefined) return record;
          }
        }
      }
      return mountPoint === undefined ? undefined : await findInTurn(folders, mountPoint);
    },
  };
}

async function stateFolders(hostRoot: string): Promise<string[]> {
  const folders: string[] = [];
  for (const pattern of patterns) folders.push(...(await expand(hostRoot, pattern.split('/').slice(1))));
  return folders;
}

async function expand(base: string, components: readonly string[]): Promise<string[]> {
  const [first, ...rest] = components;
  if (first === undefined) return [base];
  if (first !== '*') return expand(join(base, first), rest);
  const names = await readdir(base).catch(() => []);
  return (await Promise.all(names.map((name) => expand(join(base, name), rest)))).flat();
}

async function recordOf(
  hostRoot: string,
  folder: string,
  id: string,
  name: string,
): Promise<RuntimeRecord | undefined> {
  const state = await readJsonFile(join(folder, id, name));
  const location = locationOf(state);
  if (location === undefined) return undefined;
  const bundle = location.bundle ?? dirname(location.rootfs);
  const spec = parseOciSpec(await readJsonFile(join(hostRoot, bundle, 'config.json')));
  const empty = { annotations: location.annotations, privileged: false, rootPath: location.rootfs };
  return { id, stateFolder: folder, rootfs: location.rootfs, spec: spec ?? empty };
}

/** runc keeps the bundle and the annotations among `config.labels`, as `key=value`; crun has keys for them. */
function locationOf(
  state: unknown,
): { rootfs: string; bundle: string | undefined; annotations: Map<string, string> } | undefined {
  const rootfs = textAt(state, 'config', 'rootfs') ?? textAt(state, 'rootfs');
  if (rootfs === undefined) return undefined;
  const list = valueAt(state, 'config', 'labels');
  const labels = new Map(
    (Array.isArray(list) ? list : [])
      .filter((label): label is string => typeof label === 'string' && label.includes('='))
      .map((label) => [label.slice(0, label.indexOf('=')), label.slice(label.indexOf('=') + 1)]),
  );
  const bundle = textAt(state, 'bundle') ?? labels.get('bundle');
  labels.delete('bundle');
  return { rootfs, bundle, annotations: stringsAt(state, 'annotations') ?? labels };
}
