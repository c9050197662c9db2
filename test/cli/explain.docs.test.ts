import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { readEvent } from '../../src/cli/event.ts';
import { renderExplanation } from '../../src/cli/explainText.ts';
import { readPod } from '../../src/cli/pod.ts';
import { explainPod } from '../../src/cli/podExplanation.ts';
import { compile } from '../../src/policy/compile.ts';
import { readPolicy } from '../../src/policy/read.ts';
import { textOf } from '../house/sources.ts';

test('the example of docs/explain.md prints what the page shows', () => {
  const blocks = [...textOf('docs/explain.md').matchAll(/^```\w*\n(.*?)^```$/gms)].map(
    ([, block]) => block ?? '',
  );
  const [policyText = '', podText = '', eventText = '', shown = ''] = blocks;
  const { policy, faults } = readPolicy(policyText);
  assert.ok(policy, JSON.stringify(faults));
  const explanation = explainPod([compile('drift', policy)], {
    pod: readPod(parse(podText), 'pod.yaml'),
    event: readEvent(parse(eventText), 'event.yaml'),
    mode: 'enforce',
    modeAssumed: true,
    onUnknown: 'allow',
  });
  assert.equal(renderExplanation(explanation), shown.slice(shown.indexOf('\n') + 1));
});
