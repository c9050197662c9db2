/** The name of a selector. */

import type { FaultList } from './faultList.ts';
import { asText, isBlank } from './nodeReading.ts';
import { quote } from './quote.ts';
import type { MapNode, Place } from './tree.ts';

const maxLength = 128;
const form = /^[a-z0-9][a-z0-9_-]*$/i;

export interface SelectorName {
  /** As written, also where its form is wrong; empty where there is none. */
  readonly name: string;
  readonly nameAt: Place;
  readonly namePath: string;
  /** What messages call the selector. */
  readonly label: string;
}

/** The name; a fault is added when it is missing (unless `isMeant`) or not of its form. */
export function readSelectorName(
  map: MapNode,
  path: string,
  isMeant: boolean,
  faults: FaultList,
): SelectorName {
  const node = map.entries.get('name')?.value;
  const namePath = `${path}.name`;
  if (node === undefined || isBlank(node) || (node.kind === 'scalar' && node.value === '')) {
    const at = node?.at ?? map.at;
    if (!isMeant) {
      const message = 'this selector has no `name`, so no response can use it';
      // Lenient mode forgives the form of a name, not its absence.
      const severity = 'error';
      faults.add({ code: 'POLICY_SELECTOR_NAME', at, path: node ? namePath : path, message, severity });
    }
    return { name: '', nameAt: at, namePath, label: 'this selector' };
  }
  const text = asText(node, namePath, 'the name', faults);
  if (text !== undefined) reportForm(text, node.at, namePath, faults);
  const name = text ?? (node.kind === 'scalar' ? node.source : '');
  return { name, nameAt: node.at, namePath, label: `selector ${quote(name)}` };
}

function reportForm(name: string, at: Place, path: string, faults: FaultList): void {
  if (name.length > maxLength) {
    const message = `the name has ${name.length} characters; it may have ${maxLength}`;
    faults.add({ code: 'POLICY_SELECTOR_NAME', at, path, message });
  } else if (!form.test(name)) {
    const suggestion = name.replace(/[^a-z0-9_-]+/gi, '-').replace(/^[-_]+|-+$/g, '');
    const hint = form.test(suggestion) ? `; did you mean ${quote(suggestion)}?` : '';
    const message = `the name ${quote(name)} may only have letters, digits, \`-\` and \`_\`, beginning with a letter or digit${hint}`;
    const found = hint === '' ? undefined : suggestion;
    faults.add({ code: 'POLICY_SELECTOR_NAME', at, path, message, suggestion: found });
  }
}
