/** What policies can tell of images: two that no policy can tell apart are bound as one. */

import type { CompiledPolicy } from './compile.ts';
import type { ImageReference } from './types.ts';

export interface ImageNames {
  add(policy: CompiledPolicy): void;
  /** One of each kind, so that a pod of a thousand containers costs what a policy asks for, and no more. */
  distinct(images: readonly (ImageReference | undefined)[]): readonly (ImageReference | undefined)[];
}

export function imageNames(): ImageNames {
  const values = {
    containerImageFullName: new Set<string>(),
    containerImageName: new Set<string>(),
    containerImageTag: new Set<string>(),
  };
  const kindOf = (image: ImageReference | undefined): string => {
    if (image === undefined) return 'unknown';
    const { fullName, name, tag } = image;
    const named = [
      values.containerImageFullName.has(fullName) ? fullName : '',
      values.containerImageName.has(name) ? name : '',
      tag !== null && values.containerImageTag.has(tag) ? tag : '',
    ];
    // No part of a reference holds a blank.
    return named.join(' ');
  };
  return {
    add({ file, process }) {
      for (const { workload } of [...file.selectors, ...process.selectors]) {
        for (const test of workload) {
          if (!isOfImage(test)) continue;
          for (const value of test.values) values[test.condition].add(value);
        }
      }
    },
    distinct(images) {
      if (images.length <= 1) return images;
      const kinds = new Map<string, ImageReference | undefined>();
      for (const image of images) kinds.set(kindOf(image), image);
      return [...kinds.values()];
    },
  };
}

type Test = CompiledPolicy['file']['selectors'][number]['workload'][number];
type ImageCondition = 'containerImageFullName' | 'containerImageName' | 'containerImageTag';

function isOfImage(test: Test): test is Extract<Test, { values: unknown }> & { condition: ImageCondition } {
  return test.condition.startsWith('containerImage');
}
