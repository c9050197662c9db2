/** Whether an attempt succeeded, by what it prints. */

import type { Container } from '../support/containers.ts';

export const says = async (container: Container, text: string, ...args: string[]) =>
  (await container.exec(...args)).stdout.includes(text);
export const ran = (container: Container, ...args: string[]) => says(container, 'ran', ...args);
export const shRan = async (container: Container, line: string) =>
  (await container.sh(line)).stdout.includes('ran');
/** Whether the line leaves `changed` in the file. */
export const changes = async (container: Container, line: string, path: string) => {
  await container.sh(line);
  return await says(container, 'changed', '/bin/cat', path);
};
