/** Observations for tests of the documents. */

import type { DocumentContext } from '../../src/events/document.ts';
import type { Observation } from '../../src/events/observation.ts';
import type { PolicyDecision } from '../../src/policy/types.ts';

export const context: DocumentContext = {
  host: {
    name: 'node-1',
    id: 'aaaabbbbccccddddeeeeffff00001111',
    ips: ['10.0.0.5', 'fe80::1'],
    macs: ['00-11-22-33-44-55'],
    architecture: 'x86_64',
    bootId: '5c1b7c0e-0000-4000-8000-000000000001',
    pidNamespaceInode: '4026531836',
    os: {
      family: 'debian',
      name: 'Debian GNU/Linux',
      full: 'Debian GNU/Linux 12 (bookworm)',
      version: '12',
      platform: 'debian',
      kernel: '6.18.0',
    },
  },
  agent: { id: '0f0e0d0c-0b0a-0908-0706-050403020100', version: '0.1.0' },
  namespace: 'default',
  generation: 3,
};

const parent = {
  pid: 4000,
  executable: '/bin/sh',
  args: ['sh', '-c', 'cp /bin/ls /tmp/ls'],
  startUs: 1_790_000_000_500_000,
  workingDirectory: '/',
  interactive: false,
  userId: 0,
  groupId: 0,
};

const process = {
  pid: 4001,
  executable: '/bin/cp',
  args: ['cp', '/bin/ls', '/tmp/ls'],
  startUs: 1_790_000_001_250_000,
  workingDirectory: '/srv',
  interactive: false,
  userId: 1000,
  groupId: 1001,
};

const container = {
  id: 'a'.repeat(64),
  name: 'web',
  image: { fullName: 'docker.io/library/nginx', tag: '1.25', digests: [`sha256:${'b'.repeat(64)}`] },
  privileged: false,
  pod: {
    name: 'web-5d4f-abcde',
    namespace: 'shop',
    labels: new Map([['app', 'web']]),
    annotations: new Map([['note', 'a b']]),
    ips: ['10.1.2.3'],
  },
  clusterId: 'c0ffee00-0000-4000-8000-000000000000',
  clusterName: 'prod-1',
};

/** A creation of an executable that was refused. */
export const creation: Observation = {
  sequence: 42,
  timeUs: 1_790_000_002_123_456,
  section: 'file',
  action: 'creation',
  hookPoint: 'fanotify__open_perm',
  outcome: 'prevented',
  mode: 'enforce',
  process,
  parent,
  groupLeader: process,
  sessionLeader: parent,
  file: { path: '/tmp/archive.tar.gz', mode: 0o100755, userId: 1000, groupId: 1001, inode: 77 },
  container,
};

/** An exec that was seen and let through. */
export const execution: Observation = {
  ...creation,
  sequence: 43,
  section: 'process',
  action: 'exec',
  hookPoint: 'fanotify__open_exec_perm',
  outcome: 'detected',
  file: undefined,
};

export const blocking: PolicyDecision = {
  policyId: 'drift-prevention',
  actions: ['alert', 'block'],
  matchedSelectors: ['executableChanges'],
};

export const logging: PolicyDecision = {
  policyId: 'audit',
  actions: ['log', 'alert'],
  matchedSelectors: ['all', 'tmp'],
};
