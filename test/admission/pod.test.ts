import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podNamesOf, readPod } from '../../src/admission/pod.ts';

const podWith = (metadata: object, spec: object = {}) => readPod({ metadata, spec });

const names: [because: string, metadata: object, names: unknown[]][] = [
  ['a bare pod has its name', { name: 'web' }, [{ name: 'web' }]],
  ['a pod of a controller has none yet', { generateName: 'web-' }, [{ generateName: 'web-' }]],
  [
    'it was made of generateName',
    { name: 'web-bcdf2', generateName: 'web-' },
    [{ name: 'web-bcdf2' }, { generateName: 'web-' }],
  ],
  ['a StatefulSet names its pods', { name: 'web-0', generateName: 'web-' }, [{ name: 'web-0' }]],
  ['the name begins otherwise', { name: 'db-bcdf2', generateName: 'web-' }, [{ name: 'db-bcdf2' }]],
  ['vowels are never appended', { name: 'web-bcdfa', generateName: 'web-' }, [{ name: 'web-bcdfa' }]],
  ['six characters are too many', { name: 'web-bcdfgh', generateName: 'web-' }, [{ name: 'web-bcdfgh' }]],
  ['nothing is known', {}, [undefined]],
  ['null is nothing', { name: null, generateName: null }, [undefined]],
];

for (const [because, metadata, expected] of names) {
  test(`the names of ${JSON.stringify(metadata)}: ${because}`, () => {
    assert.deepEqual(podNamesOf(podWith(metadata)), expected);
  });
}

test('of a generateName longer than 58 characters the API server takes the beginning', () => {
  const generateName = 'x'.repeat(70);
  const name = `${'x'.repeat(58)}bcdfg`;
  assert.deepEqual(podNamesOf(podWith({ name, generateName })), [{ name }, { generateName }]);
});

test('labels named like properties of objects are labels', () => {
  const pod = readPod(JSON.parse('{"metadata":{"labels":{"__proto__":"a","constructor":"b"}}}'));
  assert.deepEqual(
    [...pod.labels],
    [
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ],
  );
});

test('a container whose image is still to be filled in is passed over', () => {
  const containers = [{ name: 'a' }, { name: 'b', image: 'nginx' }, null, 7];
  assert.deepEqual(podWith({}, { containers }).images, ['nginx']);
});

test('a hundred thousand labels and containers are read in linear time', () => {
  const labels = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, 'v']));
  const containers = Array.from({ length: 100_000 }, () => ({ image: 'x' }));
  const started = performance.now();
  podWith({ labels }, { containers });
  assert.ok(performance.now() - started < 1_000);
});
