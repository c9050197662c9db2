import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkHostRoot } from '../../src/node/hostRoot.ts';

const table = (optional: string) => () =>
  `21 1 0:20 / / rw - overlay overlay rw\n30 21 8:1 / /host ro,relatime${optional} - ext4 /dev/sda1 rw\n`;

test('the host’s root that hears of later mounts is taken', () => {
  checkHostRoot('/host', table(' master:1'));
  checkHostRoot('/host', table(' shared:7 master:1'));
  checkHostRoot('/', () => '');
});

test('one that does not, or that is not there, is refused with what to do', () => {
  assert.throws(() => checkHostRoot('/host', table('')), {
    code: 'HOST_ROOT_UNUSABLE',
    message: /mountPropagation: HostToContainer/,
  });
  assert.throws(() => checkHostRoot('/other', table(' master:1')), {
    code: 'HOST_ROOT_UNUSABLE',
    message: 'nothing is mounted at `/other`',
  });
});
