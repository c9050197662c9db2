import { test } from 'node:test';
import { mutate } from '../../src/admission/mutate.ts';
import { readReview } from '../../src/admission/review.ts';
import { verify } from '../../src/admission/verify.ts';
import { assertLinear } from '../support/growth.ts';
import {
  cluster,
  generationOf,
  generationsOf,
  type PodObject,
  policiesDirectory,
  recorded,
} from './support.ts';

const generations = generationsOf(await generationOf(policiesDirectory));
const asked = recorded('mutate CREATE pods bare');

/** A review of that pod, changed. */
function reviewOf(change: (pod: PodObject) => void) {
  const object = structuredClone(asked.request.object);
  change(object);
  return readReview({ ...asked, request: { ...asked.request, object } });
}

/** Pods that grow with a number of bytes in one place each, made of pieces that cheat readers of such texts. */
const hostile: [place: string, pieces: string[], change: (pod: PodObject, text: string) => void][] = [
  [
    'an image',
    ['a', 'a/', '/', ':', '@', 'a:', 'a@sha256:', 'localhost:5000/', '.', '-_.', '\0', 'é', '\u{1f600}'],
    (pod, image) => pod.spec.containers.push({ name: 'c', image }),
  ],
  [
    'the value of a label',
    ['a', '*', 'a*', ':', '..', '\\', '\u{1f600}'],
    (pod, text) => {
      pod.metadata.labels = { tier: text };
    },
  ],
  [
    'the key of a label',
    ['a', '/', 'a.', '*', ':'],
    (pod, text) => {
      pod.metadata.labels = { [text]: 'x' };
    },
  ],
  [
    'the name',
    ['a', 'web-', '-', '*'],
    (pod, text) => {
      pod.metadata.name = text;
    },
  ],
  [
    'generateName',
    ['a', 'web-', '-', '*'],
    (pod, text) => {
      delete pod.metadata.name;
      pod.metadata.generateName = text;
    },
  ],
  [
    'our own annotation',
    ['a', ',', 'a,', '\u{1f600}'],
    (pod, text) => {
      pod.metadata.annotations = { 'd4c-gate.io/policies': text };
    },
  ],
  [
    'many annotations',
    ['x'],
    (pod, text) => {
      const keys = Array.from({ length: text.length / 32 }, (_, index) => [`key-${index}`, 'v']);
      pod.metadata.annotations = Object.fromEntries(keys);
    },
  ],
  [
    'many containers',
    ['x'],
    (pod, text) => {
      pod.spec.containers = Array.from({ length: text.length / 64 }, (_, index) => ({
        name: `c-${index}`,
        image: `registry.example/team-${index}/web:${index}`,
      }));
    },
  ],
];

for (const [place, pieces, change] of hostile) {
  test(`a pod is judged in time linear in ${place}, whatever it is made of`, () => {
    for (const piece of pieces) {
      const prepare = (bytes: number) => reviewOf((pod) => change(pod, piece.repeat(bytes / piece.length)));
      for (const [hook, judge] of Object.entries({ mutate, verify })) {
        // Of `verify`, all that looks at the pod comes before its first wait.
        const runs = 3;
        assertLinear(
          `${hook}: ${JSON.stringify(piece)}`,
          (bytes) => {
            const review = prepare(bytes);
            return () => judge(review, generations, cluster);
          },
          runs,
        );
      }
    }
  });
}
