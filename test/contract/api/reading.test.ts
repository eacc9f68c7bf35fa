import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { crdOf, openApiOf } from '../../../src/api/crd.ts';
import { API_VERSION, agentManager, CONTROLLER_MANAGER, GROUP } from '../../../src/api/group.ts';
import { kinds } from '../../../src/api/kinds.ts';
import { loopbackVolumeDefinition } from '../../../src/api/loopback-volume.ts';
import type { StructuralSchema } from '../../../src/api/structural.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { applyStatus, condition, create, createRoom, type Room } from './objects.ts';

let room: Room;
beforeAll(async () => {
  room = await createRoom();
  const known = () => room.kubectl(['explain', 'lbv']);
  await waitFor(known, { what: 'short name lbv in the discovery that kubectl caches' });
});

const squeezed = (text: string) => text.replace(/\s+/g, ' ');

/** Every object of a schema with the path that `kubectl explain` takes. */
function objectsOf(schema: StructuralSchema, path: string): [string, StructuralSchema][] {
  const target = schema.items ?? schema;
  if (target.properties === undefined) return [];
  const nested = Object.entries(target.properties).flatMap(([name, child]) => objectsOf(child, `${path}.${name}`));
  return [[path, target], ...nested];
}

describe('kubectl explain', () => {
  const cases = kinds.flatMap((kind) => {
    const { spec = {}, status = {} } = openApiOf(kind).properties ?? {};
    const name = kind.shortNames[0];
    return [...objectsOf(spec, `${name}.spec`), ...objectsOf(status, `${name}.status`)];
  });

  test.each(cases)('kubectl explain %s: shows every field with its description', async (path, schema) => {
    const text = squeezed(await room.kubectl(['explain', path]));
    for (const [name, { description = '' }] of Object.entries(schema.properties ?? {})) {
      expect(text).toContain(` ${name} <`);
      expect(text).toContain(squeezed(description));
    }
  });

  test.each(kinds.map((kind) => [kind.shortNames[0] ?? '', kind.schema.description ?? '']))(
    'kubectl explain %s: says what it is',
    async (name, description) => {
      expect(squeezed(await room.kubectl(['explain', name]))).toContain(squeezed(description));
    },
  );
});

describe('kubectl get', () => {
  beforeAll(async () => {
    await create(room, 'new', { size: '1Gi' });
    await applyStatus(room, 'new', CONTROLLER_MANAGER, { conditions: [condition('Scheduled', 'False', 'NoNodeFits')] });
    for (const [name, nodeName] of [
      ['first', 'node-a'],
      ['second', 'node-b'],
    ] as const) {
      await create(room, name, { size: 1073741824, nodeName });
      await applyStatus(room, name, CONTROLLER_MANAGER, {
        nodeName,
        conditions: [condition('Scheduled', 'True', 'Placed')],
      });
      await applyStatus(room, name, agentManager(nodeName), {
        observedGeneration: 1,
        usedBytes: 147456,
        hostBytes: 2097152,
        filesystemUUID: '6f1c3a4e-0000-4000-8000-000000000001',
        loopDevice: '/dev/loop7',
        mountPath: '/mnt/x',
        conditions: [condition('Mounted', 'True', 'Mounted'), condition('Ready', 'False', 'ForeignFilesystem')],
      });
    }
  });

  const rows = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s{2,}/));

  test('kubectl get lbv: answers first whether it is ready, why, how large and where', async () => {
    const [head, ...lines] = rows(await room.kubectl(['get', 'lbv']));
    expect(head).toEqual(['NAME', 'READY', 'REASON', 'SIZE', 'RESIZED', 'SCHEDULED', 'NODE', 'AGE']);
    expect(lines.map((line) => line.slice(0, -1))).toEqual([
      ['first', 'False', 'ForeignFilesystem', '1073741824', 'Placed', 'node-a'],
      ['new', 'Unknown', 'Pending', '1Gi', 'NoNodeFits'],
      ['second', 'False', 'ForeignFilesystem', '1073741824', 'Placed', 'node-b'],
    ]);
  });

  test('kubectl get lbv -o wide: adds what one needs on the node, and the message', async () => {
    const [head, line] = rows(await room.kubectl(['get', 'lbv', 'first', '-o', 'wide']));
    const wide = ['SIZE-BYTES', 'USED-BYTES', 'HOST-BYTES', 'FS-UUID', 'DEVICE', 'MOUNT-PATH', 'MESSAGE'];
    expect(head?.slice(8)).toEqual(wide);
    expect(line?.slice(7)).toEqual([
      '147456',
      '2097152',
      '6f1c3a4e-0000-4000-8000-000000000001',
      '/dev/loop7',
      '/mnt/x',
      'Ready is False',
    ]);
  });

  test('kubectl get btrfs: lists the kinds of the category', async () => {
    expect(await room.kubectl(['get', 'btrfs', '-o', 'name'])).toContain(`loopbackvolume.${GROUP}/first`);
  });

  test('kubectl get lbv --field-selector: an agent can ask for the objects of its node only', async () => {
    const names = await room.kubectl(['get', 'lbv', '--field-selector=status.nodeName=node-b', '-o', 'name']);
    expect(names.trim()).toBe(`loopbackvolume.${GROUP}/second`);
    const unplaced = await room.kubectl(['get', 'lbv', '--field-selector=status.nodeName=', '-o', 'name']);
    expect(unplaced.trim()).toBe(`loopbackvolume.${GROUP}/new`);
  });

  test('kubectl get bn: shows a node before and after its agent has spoken', async () => {
    const nodes = `/apis/${API_VERSION}/btrfsnodes`;
    const path = `${nodes}/${room.namespace}`;
    const object = { apiVersion: API_VERSION, kind: 'BtrfsNode', metadata: { name: room.namespace } };
    const created = await room.call(nodes, { method: 'POST', body: object });
    expect(created.body.status).toMatchObject({
      observedGeneration: -1,
      conditions: [{ type: 'Ready', status: 'Unknown' }],
    });
    const conditions = [condition('Ready', 'True', 'Ready')];
    const orphans = [
      { uid: 'u', kind: 'LoopbackVolume', namespace: 'n', name: 'v', bytes: 4096, since: '2026-11-21T10:00:00Z' },
    ];
    const status = {
      observedGeneration: 1,
      kernel: '6.12.0',
      btrfsProgs: '6.14',
      hostTotalBytes: 10,
      allocatableBytes: 9,
      committedBytes: 3,
      orphans,
      conditions,
    };
    const answer = await room.call(`${path}/status?fieldManager=agent`, {
      method: 'PATCH',
      contentType: 'application/apply-patch+yaml',
      body: { ...object, status },
    });
    expect([answer.status, answer.body.status]).toEqual([200, status]);
    const [head, line] = rows(await room.kubectl(['get', 'bn', room.namespace]));
    expect(head).toEqual(['NAME', 'READY', 'REASON', 'ALLOCATABLE-BYTES', 'COMMITTED-BYTES', 'KERNEL', 'AGE']);
    expect(line?.slice(0, 6)).toEqual([room.namespace, 'True', 'Ready', '9', '3', '6.12.0']);
    await room.call(path, { method: 'DELETE' });
  });
});

describe('examples', () => {
  const folder = new URL('../../../examples/', import.meta.url);

  test.each(readdirSync(folder))('examples/%s: is accepted, strictly', async (file) => {
    const stdin = readFileSync(new URL(file, folder), 'utf8');
    const printed = await room.kubectl(['apply', '--dry-run=server', '--validate=strict', '-f-'], { stdin });
    expect(printed.match(/ created \(/g)).toHaveLength(stdin.split(/^---$/m).length);
  });
});

test('LoopbackVolume: an object that a later rule would refuse is still updated where it is right (ratcheting)', async () => {
  const group = `ratchet-${room.namespace}.example.com`;
  const crd = structuredClone(crdOf(loopbackVolumeDefinition));
  const strict = JSON.parse(JSON.stringify(crd).replaceAll(GROUP, group));
  // Else whoever asks for the category meanwhile meets a kind that comes and goes.
  delete strict.spec.names.categories;
  const loose = structuredClone(strict);
  delete loose.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.size['x-kubernetes-validations'];
  const apply = (object: object) => room.kubectl(['apply', '--server-side', '-f-'], { stdin: JSON.stringify(object) });
  const path = `/apis/${group}/v1alpha1/namespaces/${room.namespace}/loopbackvolumes`;
  const volume = {
    apiVersion: `${group}/v1alpha1`,
    kind: 'LoopbackVolume',
    metadata: { name: 'old' },
    spec: { size: '1Mi' },
  };
  const patch = (body: object) => room.call(`${path}/old`, { method: 'PATCH', body });
  await apply(loose);
  try {
    await waitFor(async () => (await room.call(path, { method: 'POST', body: volume })).status === 201, {
      what: 'served CRD',
    });
    await apply(strict);
    // Another one each time: who was accepted by the old rules stays so.
    let mebibytes = 1;
    const refused = async () => (await patch({ spec: { size: `${++mebibytes}Mi` } })).status === 422;
    await waitFor(refused, { what: 'refusal by the new rule', timeoutMs: 25_000 });
    // The last accepted size is as invalid as the first: it was written while the old rules were served.
    expect((await patch({ spec: { mounted: false }, metadata: { labels: { a: 'b' } } })).status).toBe(200);
  } finally {
    await room.kubectl(['delete', 'crd', strict.metadata.name]);
  }
});
