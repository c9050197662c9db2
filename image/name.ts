/** The image's name, as the chart's default values ask for it. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/** `repository:tag` of the chart's defaults, for example `localhost/d4c-gate:0.1.0`. */
export function imageName(): string {
  const chart = join(import.meta.dirname, '../charts/d4c-gate');
  const values: { image: { repository: string; tag: string } } = read(join(chart, 'values.yaml'));
  const { appVersion }: { appVersion: string } = read(join(chart, 'Chart.yaml'));
  return `${values.image.repository}:${values.image.tag || appVersion}`;
}

function read<T>(file: string): T {
  return parse(readFileSync(file, 'utf8'));
}
