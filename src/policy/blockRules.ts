/** What `block` asks of a response: what it needs, what it would break, and what cannot be denied here. */

import { monitoringOperations, operationsOf } from './conditions.ts';
import type { FaultList } from './faultList.ts';
import type { LinkedResponse } from './linkRules.ts';
import { quote } from './quote.ts';
import type { ReadSelector } from './selectorRules.ts';
import type { FileOperation, ProcessOperation, Section } from './types.ts';

type Operation = FileOperation | ProcessOperation;

/** What an enforcement backend cannot deny. */
export interface Backend {
  readonly name: string;
  readonly cannotDeny: ReadonlySet<Operation>;
  /** What would make it possible, for example `BPF LSM`. */
  readonly remedy: string;
}

/** Permission events exist for opens and execs alone. Source: kernel-facts.md, the table of operations. */
export const fanotify: Backend = {
  name: 'fanotify',
  cannotDeny: new Set<Operation>(['fork', 'deleteFile']),
  remedy: 'BPF LSM',
};

/** Paths under which a container cannot run when they are blocked. */
const vitalPaths = new Set(['/**', '/*', '/usr/**', '/lib/**', '/bin/**', '/etc/**']);

/** Reports what is wrong with those of a section's responses that block. */
export function reportBlocks(
  section: Section,
  responses: readonly LinkedResponse[],
  backend: Backend,
  faults: FaultList,
): void {
  const blocking = responses.filter(({ response }) => response.actions.includes('block'));
  for (const linked of blocking) {
    if (section === 'file') reportWithoutPath(linked, faults);
    reportNotBlockable(section, linked, backend, faults);
  }
  if (section !== 'file') return;
  for (const read of new Set(blocking.flatMap(({ match }) => match))) reportVitalPaths(read, faults);
}

/** A selector without `operation` matches every operation, so these too. */
function isMonitoring({ selector, written }: ReadSelector): boolean {
  if (!written.has('operation')) return true;
  return selector.operation?.some((operation) => monitoringOperations.has(operation)) ?? false;
}

function reportWithoutPath({ response, match, exclude }: LinkedResponse, faults: FaultList): void {
  if (exclude.some(({ written }) => written.has('targetFilePath'))) return;
  for (const read of match) {
    if (!isMonitoring(read) || read.written.has('targetFilePath')) continue;
    const at = response.match.find(({ name }) => name === read.name) ?? {
      at: response.node.at,
      path: response.path,
    };
    const message = `\`block\` with ${read.label} would refuse it on every path; give it, or a selector in \`exclude\`, a \`targetFilePath\``;
    faults.add({ code: 'POLICY_BLOCK_WITHOUT_PATH', at: at.at, path: at.path, message });
  }
}

function reportVitalPaths(read: ReadSelector, faults: FaultList): void {
  const list = read.node.entries.get('targetFilePath')?.value;
  if (!isMonitoring(read) || list?.kind !== 'list') return;
  for (const [index, item] of list.items.entries()) {
    if (item.kind !== 'scalar' || !vitalPaths.has(item.source)) continue;
    const message = `\`block\` on ${quote(item.source)} keeps most containers from running; name what has to be protected`;
    const path = `${read.path}.targetFilePath[${index}]`;
    faults.add({ code: 'POLICY_BLOCK_EVERYTHING', at: item.at, path, message });
  }
}

function reportNotBlockable(
  section: Section,
  { response, match }: LinkedResponse,
  backend: Backend,
  faults: FaultList,
): void {
  const operationsIn = ({ selector, written }: ReadSelector): readonly Operation[] =>
    selector.operation ?? (written.has('operation') ? [] : operationsOf[section]);
  for (const operation of backend.cannotDeny) {
    const read = match.find((candidate) => operationsIn(candidate).includes(operation));
    if (read === undefined) continue;
    const message = `${backend.name} cannot deny \`${operation}\` (${read.label}), so it is reported and not refused; that takes ${backend.remedy}`;
    const { actionsAt: at, actionsPath: path } = response;
    faults.add({ code: 'POLICY_NOT_BLOCKABLE', at, path, message });
  }
}
