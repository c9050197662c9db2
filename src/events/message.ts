/** The sentence that becomes an alert's title. */

import { beginningOf } from '../nodePod.ts';
import type { EventAction, Observation } from './observation.ts';

const maxNameLength = 512;

const deeds: Record<EventAction, { noun: string; passive: string }> = {
  fork: { noun: 'fork', passive: 'forked' },
  exec: { noun: 'execution', passive: 'executed' },
  end: { noun: 'end', passive: 'ended' },
  creation: { noun: 'creation', passive: 'created' },
  open: { noun: 'opening for writing', passive: 'opened for writing' },
  modification: { noun: 'modification', passive: 'modified' },
  deletion: { noun: 'deletion', passive: 'deleted' },
  rename: { noun: 'renaming', passive: 'renamed' },
  link: { noun: 'linking', passive: 'linked' },
};

/**
 * What happened, to which file, by which process, in which container, and what became of it, such as
 * `the creation of /tmp/x by /bin/cp in container web (docker.io/library/nginx:1.25) was blocked`.
 */
export function messageOf(observation: Observation, wantedBlock: boolean): string {
  const { action, outcome, mode } = observation;
  const { noun, passive } = deeds[action];
  const by = `by ${actorOf(observation)} in ${containerOf(observation)}`;
  const target = targetOf(observation);
  switch (outcome) {
    case 'prevented':
      return `the ${noun} of ${target} ${by} was blocked${because(observation)}`;
    case 'contained':
      return `${target} was ${passive} ${by}; what came of it cannot be executed`;
    case 'reverted':
      return `${target} was ${passive} ${by}, and that was undone`;
    case 'detected':
      if (!wantedBlock) return `${target} was ${passive} ${by}`;
      return mode === 'observe'
        ? `${target} was ${passive} ${by}; ${inEnforce(observation)}`
        : `${target} was ${passive} ${by}; the policy asks to block this, and it could not be blocked`;
  }
}

const reasons = {
  drift: 'it is not of the image',
  contained: 'how it came to be could not be blocked',
  fileless: 'it has no file',
} as const;

function because({ reason }: Observation): string {
  if (reason === undefined) return '';
  return `, since ${reasons[reason]}`;
}

/** What is told after it has happened cannot be blocked, but what came of it can be kept from being executed. */
function inEnforce({ hookPoint, isUnenforceable }: Observation): string {
  if (isUnenforceable) return 'on this kernel mode enforce could not block it either';
  return hookPoint.endsWith('_perm')
    ? 'it would have been blocked in mode enforce'
    : 'mode enforce would keep a program that came of it from being executed';
}

function targetOf({ section, file, process }: Observation): string {
  const path = file?.path ?? (section === 'process' ? process.executable : undefined);
  const target = short(path ?? `process ${process.pid}`);
  return file?.oldPath === undefined ? target : `${short(file.oldPath)} to ${target}`;
}

/**
 * Who did it. Of an exec, `process` is the new program already, so it is known by its parent; what an interpreter or a loader
 * reads to run it (then there is a file) is done by itself.
 */
function actorOf({ section, action, process, parent, file }: Observation): string {
  const isOwnDeed = section === 'file' || file !== undefined;
  const { executable } = (isOwnDeed ? process : parent) ?? {};
  if (executable === undefined) return `process ${process.pid}`;
  return !isOwnDeed && action !== 'fork' ? `a child of ${short(executable)}` : short(executable);
}

function containerOf({ container }: Observation): string {
  const pod = container.pod && `pod ${container.pod.namespace}/${container.pod.name}, `;
  const id = container.id?.replace(/^([0-9a-f]{12})[0-9a-f]{52}$/, '$1');
  const name = container.name ?? id ?? 'of unknown name';
  const { image } = container;
  const reference = image && (image.tag === null ? image.fullName : `${image.fullName}:${image.tag}`);
  return `${pod ?? ''}container ${name}${reference === undefined ? '' : ` (${reference})`}`;
}

function short(text: string): string {
  return text.length > maxNameLength ? `${beginningOf(text, maxNameLength)}…` : text;
}
