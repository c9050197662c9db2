/** What Docker and podman (and cri-o) keep in files about a container's image and name, since no runtime below them knows it. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseJson, readJsonFile, stringsAt, textAt, valueAt } from './smallFile.ts';

/** A container as its engine knows it. */
export interface EngineRecord {
  /** As the user gave it: the image's reference, or no more than an image ID. */
  readonly image: string | undefined;
  readonly name: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
}

/** `null`: there is no such container here, the engine keeps its data elsewhere. `undefined`: it cannot be read now. */
export type FoundRecord = EngineRecord | null | undefined;

/** Docker's `config.v2.json`. */
export async function dockerRecord(id: string, hostRoot = '/'): Promise<FoundRecord> {
  const config = await readIfThere(join(hostRoot, 'var/lib/docker/containers', id, 'config.v2.json'));
  if (config === undefined || config === null) return config;
  return {
    image: textAt(config, 'Config', 'Image'),
    name: textAt(config, 'Name')?.replace(/^\//, ''),
    labels: stringsAt(config, 'Config', 'Labels') ?? new Map(),
  };
}

/** The entry in `containers.json` of containers/storage, which podman and cri-o share; root's storage only. */
export async function storageRecord(id: string, hostRoot = '/'): Promise<FoundRecord> {
  let isWhole = true;
  for (const file of ['containers.json', 'volatile-containers.json']) {
    const list = await readIfThere(join(hostRoot, 'var/lib/containers/storage/overlay-containers', file));
    isWhole &&= list !== undefined;
    const entry = (Array.isArray(list) ? list : []).find((each) => textAt(each, 'id') === id);
    if (entry === undefined) continue;
    const metadata = parseJson(textAt(entry, 'metadata') ?? '');
    const names = valueAt(entry, 'names');
    return {
      image: textAt(metadata, 'image-name'),
      name:
        textAt(metadata, 'name') ??
        (Array.isArray(names) ? names.find((n) => typeof n === 'string') : undefined),
      labels: new Map(),
    };
  }
  return isWhole ? null : undefined;
}

/** The content of a JSON file; `null` when there is none. */
async function readIfThere(path: string): Promise<unknown> {
  const json = await readJsonFile(path);
  if (json !== undefined) return json;
  return await stat(path).then(
    () => undefined,
    ({ code }: NodeJS.ErrnoException) => (code === 'ENOENT' ? null : undefined),
  );
}
