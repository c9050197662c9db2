import assert from 'node:assert/strict';
import { test } from 'node:test';
import { documentsOf, type GateDocument } from '../../src/events/document.ts';
import { blocking, context, creation, execution, logging } from './observations.ts';

/** The document as its reader gets it. */
const written = (document: GateDocument | undefined): Record<string, Record<string, unknown>> =>
  JSON.parse(document?.json ?? 'null');

/** Paths of all leaves, with arrays as leaves. */
function fieldsOf(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [prefix];
  return Object.entries(value).flatMap(([key, each]) => fieldsOf(each, prefix ? `${prefix}.${key}` : key));
}

const processFields = 'pid entity_id name executable args args_count command_line start working_directory'
  .concat(' interactive user.id group.id')
  .split(' ');
const everyDocument = [
  '@timestamp message ecs.version agent.id agent.type agent.version',
  'event.id event.kind event.category event.action event.type event.module event.dataset event.created event.sequence',
  'data_stream.type data_stream.dataset data_stream.namespace',
  'cloud_defend.matched_selectors cloud_defend.package_policy_id cloud_defend.package_policy_revision cloud_defend.hook_point',
  'd4c_gate.outcome d4c_gate.mode d4c_gate.actions',
  'container.id container.name container.image.name container.image.tag container.image.hash.all',
  'container.security_context.privileged',
  'orchestrator.type orchestrator.cluster.id orchestrator.cluster.name orchestrator.namespace',
  'orchestrator.resource.name orchestrator.resource.type orchestrator.resource.ip',
  'orchestrator.resource.label orchestrator.resource.annotation',
  'host.name host.hostname host.id host.ip host.mac host.architecture host.boot.id host.pid_ns_ino',
  'host.os.type host.os.family host.os.name host.os.full host.os.kernel host.os.platform host.os.version',
  'user.id group.id',
]
  .flatMap((line) => line.split(' '))
  .concat(processFields.map((field) => `process.${field}`))
  .concat(
    ['parent', 'group_leader', 'session_leader'].flatMap((relative) =>
      [...processFields, 'same_as_process'].map((field) => `process.${relative}.${field}`),
    ),
  );
const fileFields = 'path name extension directory mode uid gid inode'
  .split(' ')
  .map((name) => `file.${name}`);

test('a file document has every field that is known, and no other', () => {
  const [document] = documentsOf(creation, [blocking], context);
  assert.deepEqual(fieldsOf(written(document)).sort(), [...everyDocument, ...fileFields].sort());
});

test('a process document has the same fields but those of a file', () => {
  const [document] = documentsOf(execution, [logging], context);
  assert.deepEqual(fieldsOf(written(document)).sort(), [...everyDocument].sort());
});

test('`log` writes to the stream of its section, `alert` to the alerts, both to both', () => {
  const streams = (section: typeof creation, decision: typeof blocking) =>
    documentsOf(section, [decision], context).map(({ dataStream }) => dataStream);
  assert.deepEqual(streams(creation, blocking), ['logs-cloud_defend.alerts-default']);
  assert.deepEqual(streams(creation, logging), [
    'logs-cloud_defend.file-default',
    'logs-cloud_defend.alerts-default',
  ]);
  assert.deepEqual(streams(execution, { ...logging, actions: ['log'] }), [
    'logs-cloud_defend.process-default',
  ]);
});

test('every policy that fired has documents of its own, with its own ID and selectors', () => {
  const documents = documentsOf(creation, [blocking, logging], context);
  assert.deepEqual(
    documents.map((each) => written(each).cloud_defend?.package_policy_id),
    ['drift-prevention', 'audit', 'audit'],
  );
  assert.equal(new Set(documents.map((each) => written(each).event?.id)).size, 3);
});

test('a prevented operation has the type `denied`, others do not', () => {
  const typesOf = (observation: typeof creation) =>
    documentsOf(observation, [blocking], context).map((each) => written(each).event?.type);
  assert.deepEqual(typesOf(creation), [['creation', 'denied']]);
  assert.deepEqual(typesOf({ ...creation, action: 'open' }), [['change', 'denied']]);
  for (const outcome of ['detected', 'contained', 'reverted'] as const) {
    assert.deepEqual(typesOf({ ...creation, outcome }), [['creation']]);
  }
  assert.deepEqual(typesOf({ ...execution, outcome: 'prevented' }), [['start', 'denied']]);
});

test('says what happened in the words of ECS', () => {
  const [document] = documentsOf(creation, [blocking], context);
  const body = written(document);
  assert.equal(body['@timestamp'], '2026-09-21T14:13:22.123456Z');
  assert.deepEqual(
    { ...body.event, id: '', created: '' },
    {
      id: '',
      kind: 'alert',
      category: ['file'],
      action: 'creation',
      type: ['creation', 'denied'],
      module: 'cloud_defend',
      dataset: 'cloud_defend.alerts',
      created: '',
      sequence: 42,
    },
  );
  assert.deepEqual(body.file, {
    path: '/tmp/archive.tar.gz',
    name: 'archive.tar.gz',
    directory: '/tmp',
    extension: 'gz',
    mode: '0755',
    uid: '1000',
    gid: '1001',
    inode: '77',
  });
  assert.deepEqual(body.container, {
    id: 'a'.repeat(64),
    name: 'web',
    image: {
      name: 'docker.io/library/nginx',
      tag: ['1.25'],
      hash: { all: [`sha256:${'b'.repeat(64)}`] },
    },
    security_context: { privileged: false },
  });
  assert.deepEqual(body.orchestrator?.resource, {
    name: 'web-5d4f-abcde',
    type: 'pod',
    ip: ['10.1.2.3'],
    label: ['app:web'],
    annotation: ['note:a b'],
  });
  assert.deepEqual(body.user, { id: '1000' });
  assert.deepEqual(body.d4c_gate, { outcome: 'prevented', mode: 'enforce', actions: ['alert', 'block'] });
});

test('a container outside of Kubernetes has no orchestrator, and what is unknown is left out', () => {
  const [document] = documentsOf({ ...creation, container: { id: 'x' } }, [blocking], context);
  const body = written(document);
  assert.deepEqual(body.container, { id: 'x' });
  assert.equal('orchestrator' in body, false);
});

test('cuts an annotation that is a whole file', () => {
  const { pod } = creation.container;
  assert.ok(pod);
  const container = { pod: { ...pod, annotations: new Map([['config', 'x'.repeat(100_000)]]) } };
  const [document] = documentsOf({ ...creation, container }, [blocking], context);
  assert.ok(document);
  const { resource } = written(document).orchestrator as { resource: { annotation: string[] } };
  assert.equal(resource.annotation[0]?.length, 1_024);
});

test('cuts no character in half, which no JSON can hold', () => {
  const { pod } = creation.container;
  assert.ok(pod);
  for (const shift of ['', 'x']) {
    const emoji = shift + '\u{1f600}'.repeat(20_000);
    const container = { pod: { ...pod, annotations: new Map([['config', emoji]]) } };
    const process = { ...creation.process, args: [emoji] };
    const file = { path: `/${emoji}` };
    const [document] = documentsOf({ ...creation, container, process, file }, [blocking], context);
    const { message, orchestrator, process: told } = written(document) as Record<string, unknown>;
    const { resource } = orchestrator as { resource: { annotation: string[] } };
    const { args } = told as { args: string[] };
    const texts = [String(message), ...resource.annotation, ...args];
    assert.deepEqual(
      texts.map((text) => text.isWellFormed()),
      [true, true, true],
    );
  }
});

test('a pod with a thousand annotations makes no document of a MiB', () => {
  const pairs = Array.from({ length: 1_000 }, (_, n) => [`a${n}`, 'x'.repeat(1_000)] as const);
  const pod = { name: 'p', namespace: 'n', labels: new Map(pairs), annotations: new Map(pairs), ips: [] };
  const [document] = documentsOf({ ...creation, container: { pod } }, [blocking], context);
  assert.ok(document);
  assert.ok(document.json.length < 100_000);
  const { resource } = written(document).orchestrator as { resource: Record<string, string[]> };
  assert.deepEqual([resource.label?.length, resource.annotation?.length], [32, 32]);
});

test('the revision stays within the 16 bits of its mapping for any generation', () => {
  const revisionOf = (generation: number) =>
    documentsOf(creation, [blocking], { ...context, generation }).map(
      (each) => written(each).cloud_defend?.package_policy_revision,
    )[0];
  assert.equal(revisionOf(1), 1);
  assert.equal(revisionOf(32_767), 32_767);
  assert.equal(revisionOf(32_768), 1);
});

test('an entry leader carries how the session was entered', () => {
  const entryLeader = { process: creation.process, type: 'container' };
  const [document] = documentsOf({ ...creation, entryLeader }, [blocking], context);
  const { process } = written(document) as { process: Record<string, Record<string, unknown>> };
  assert.deepEqual(process.entry_leader?.entry_meta, { type: 'container' });
  assert.equal(process.entry_leader?.same_as_process, true);
});
