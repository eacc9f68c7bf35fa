import { beforeAll, describe, expect, test } from 'vitest';
import { parseBuildCache } from '../../../src/api/build-cache.ts';
import { agentManager, CONTROLLER_MANAGER } from '../../../src/api/group.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { badNames, cacheCalls, refusal, rowsOf } from './build-cache-objects.ts';
import { condition, createRoom, type Room } from './objects.ts';

const { create, dryRun, patch, applyStatus, pathOf, manifest } = cacheCalls;
const AGENT = agentManager('node-a');
const scheduled = condition('Scheduled', 'True', 'Placed');
const adopt = (uid: string) => ({ source: { adopt: { uid } } });
const [UID, OTHER_UID] = ['5d0a0b5e-1f5c-4a3a-9a39-0f1b2c3d4e5f', '6d0a0b5e-1f5c-4a3a-9a39-0f1b2c3d4e5f'];
const seed = (name: string) => ({ seed: { snapshotRef: { name } } });

let room: Room;
beforeAll(async () => {
  room = await createRoom();
});

describe('BuildCache: what can be refused at apply is refused in words', () => {
  const refused: readonly (readonly [what: string, spec: object, message: string])[] = [
    ['no volume', { volumeRef: null }, 'spec.volumeRef: Required value'],
    ['a volume without a name', { volumeRef: {} }, 'spec.volumeRef.name: Required value'],
    ['a name longer than names are', { volumeRef: { name: 'v'.repeat(254) } }, 'may not be more than 253 bytes'],
    ['a volume of another namespace', { volumeRef: { name: 'a', namespace: 'b' } }, 'spec.volumeRef.namespace'],
    [
      'another policy',
      { publishPolicy: 'Always' },
      'spec.publishPolicy: Unsupported value: "Always": supported values: "FirstWriterWins", "LastWriterWins", "Never"',
    ],
    [
      'no generation to keep',
      { keepGenerations: 0 },
      'spec.keepGenerations in body should be greater than or equal to 1',
    ],
    ['101 of them', { keepGenerations: 101 }, 'spec.keepGenerations in body should be less than or equal to 100'],
    ['two and a half', { keepGenerations: 2.5 }, 'spec.keepGenerations'],
    ['generation 0', { pinnedGeneration: 0 }, 'spec.pinnedGeneration in body should be greater than or equal to 1'],
    ['a generation in words', { pinnedGeneration: 'last' }, 'spec.pinnedGeneration'],
    ['a negative part', { minFreePercent: -1 }, 'spec.minFreePercent in body should be greater than or equal to 0'],
    ['nearly all of it', { minFreePercent: 91 }, 'spec.minFreePercent in body should be less than or equal to 90'],
    ['a percent sign', { minFreePercent: '10%' }, 'spec.minFreePercent'],
    ['a long token', { resetToken: 'x'.repeat(254) }, 'spec.resetToken: Too long: may not be more than 253 bytes'],
    ['a seed without a Snapshot', { seed: {} }, 'spec.seed.snapshotRef: Required value'],
    ['a seed without a name', { seed: { snapshotRef: {} } }, 'spec.seed.snapshotRef.name: Required value'],
    ['a source that is none', { source: {} }, 'spec.source.adopt: Required value'],
    ['adoption of a name', adopt('npm'), 'must be the uid of an orphan'],
    [
      'adoption and a seed',
      { ...adopt(UID), ...seed('base') },
      'spec.source: Invalid value: cannot be combined with seed',
    ],
    ['setuid', { owner: { mode: '4755' } }, 'setuid, setgid and sticky bits are refused; got 4755'],
    ['a mode in YAML octal', { owner: { mode: 493 } }, 'spec.owner.mode'],
    ['a negative uid', { owner: { uid: -1 } }, 'spec.owner.uid in body should be greater than or equal to 0'],
    [
      'the gid of nobody at all',
      { owner: { gid: 4294967295 } },
      'spec.owner.gid in body should be less than or equal to',
    ],
  ];

  test.each(refused)('BuildCache: %s is refused', async (_what, spec, message) => {
    const { status, body } = await create(room, 'refused', spec);
    expect(status, JSON.stringify(body)).toBeGreaterThanOrEqual(400);
    expect([body.code < 500, body.message]).toEqual([true, expect.stringContaining(message)]);
  });

  test.each(badNames)('D18 BuildCache: %j is no name of an object, neither of a volume nor of a seed', async (name) => {
    for (const spec of [{ volumeRef: { name } }, seed(name)]) {
      expect(await create(room, 'refused', spec)).toEqual(
        refusal('must be the name of an object, in lower case letters, digits, - and .'),
      );
    }
  });

  test('BuildCache: an unknown field is refused by kubectl apply', async () => {
    const stdin = JSON.stringify(manifest('unknown', { keepGeneration: 2 }));
    await expect(room.kubectl(['apply', '-f-'], { stdin })).rejects.toThrow('unknown field "spec.keepGeneration"');
  });
});

describe('BuildCache: defaults', () => {
  test('BuildCache: a volume is enough, the rest has defaults, the same as parseBuildCache has', async () => {
    const expected = {
      volumeRef: { name: 'demo' },
      publishPolicy: 'FirstWriterWins',
      keepGenerations: 3,
      resetToken: '',
      minFreePercent: 10,
    };
    const { status, body } = await create(room, 'defaults');
    expect([status, body.spec]).toEqual([201, expected]);
    const metadata = { name: 'x', uid: 'u', resourceVersion: '1' };
    expect(parseBuildCache({ metadata, spec: { volumeRef: { name: 'demo' } } }).spec).toEqual(expected);
  });

  test('BuildCache: a new object has observedGeneration -1 and Ready Unknown, so that nothing takes it for done', async () => {
    await create(room, 'fresh');
    expect((await room.call(pathOf(room, 'fresh'))).body.status).toEqual({
      observedGeneration: -1,
      conditions: [expect.objectContaining({ type: 'Ready', status: 'Unknown', reason: 'Pending' })],
    });
  });

  const accepted: readonly (readonly [what: string, spec: object])[] = [
    ['the least of each number', { keepGenerations: 1, minFreePercent: 0, pinnedGeneration: 1 }],
    ['the most of each number', { keepGenerations: 100, minFreePercent: 90, resetToken: 'x'.repeat(253) }],
    ['a token of any kind', { resetToken: '2026-11-21 10:00 «build» #7' }],
    ['a seed', seed('base')],
    ['an owner', { owner: { uid: 1000, gid: 1000, mode: '0750' } }],
    ...['FirstWriterWins', 'LastWriterWins', 'Never'].map(
      (publishPolicy) => [`policy ${publishPolicy}`, { publishPolicy }] as const,
    ),
  ];

  test.each(accepted)('BuildCache: %s is accepted', async (_what, spec) => {
    const { status, body } = await dryRun(room, spec);
    expect([status, body.spec]).toEqual([201, expect.objectContaining(spec)]);
  });

  test('BuildCache: of an owner without fields root and 0755 are made', async () => {
    expect((await dryRun(room, { owner: {} })).body.spec.owner).toEqual({ uid: 0, gid: 0, mode: '0755' });
  });
});

describe('BuildCache: what stays', () => {
  const immutable = 'Invalid value: cannot be changed; make a new BuildCache';
  const added = 'Invalid value: cannot be added or removed; make a new BuildCache';
  const changes: readonly (readonly [from: object, to: object, message: string])[] = [
    [{}, { volumeRef: { name: 'other' } }, `spec.volumeRef: ${immutable}`],
    [seed('a'), seed('b'), `spec.seed: ${immutable}`],
    [seed('a'), { seed: null }, `spec.seed: ${added}`],
    [{}, seed('a'), `spec.seed: ${added}`],
    [adopt(UID), adopt(OTHER_UID), `spec.source: ${immutable}`],
    [adopt(UID), { source: null }, `spec.source: ${added}`],
    [{}, adopt(UID), `spec.source: ${added}`],
  ];
  test.each(changes.map((change, index) => [index, ...change] as const))(
    'BuildCache: %i: %j to %j is refused',
    async (index, from, to, message) => {
      expect((await create(room, `stays-${index}`, from)).status).toBe(201);
      expect(await patch(room, `stays-${index}`, to)).toEqual(refusal(message));
    },
  );

  test('BuildCache: everything else may change at any time, and back', async () => {
    await create(room, 'free', seed('base'));
    for (const spec of [
      { publishPolicy: 'Never' },
      { publishPolicy: null },
      { keepGenerations: 1 },
      { pinnedGeneration: 4 },
      { pinnedGeneration: 2 },
      { pinnedGeneration: null },
      { resetToken: 'again' },
      { resetToken: '' },
      { minFreePercent: 50 },
      { owner: { uid: 7 } },
      { owner: null },
    ])
      expect([spec, (await patch(room, 'free', spec)).status]).toEqual([spec, 200]);
  });

  test('BuildCache: status.nodeName is set once: neither changed nor removed', async () => {
    await create(room, 'once');
    const place = (status: object) =>
      applyStatus(room, 'once', CONTROLLER_MANAGER, { conditions: [scheduled], ...status });
    expect((await place({ nodeName: 'node-a' })).status).toBe(200);
    const stays = refusal('status.nodeName: Invalid value: is set once; the BuildCache stays on node-a');
    expect(await place({ nodeName: 'node-b' })).toEqual(stays);
    expect(await place({})).toEqual(stays);
  });

  test('BuildCache: an agent that writes the field or the condition of the controller gets a conflict', async () => {
    await create(room, 'two-writers');
    await applyStatus(room, 'two-writers', CONTROLLER_MANAGER, { nodeName: 'node-a', conditions: [scheduled] });
    const other = condition('Scheduled', 'False', 'VolumeNotFound');
    for (const status of [{ nodeName: 'node-b' }, { conditions: [other] }])
      expect((await applyStatus(room, 'two-writers', AGENT, status)).status).toBe(409);
  });
});

describe('BuildCache: status', () => {
  const generations = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      generation: index + 1,
      subvolumeID: 256 + index,
      uuid: '6f1c3a4e-0000-4000-8000-000000000001',
      from: 'job-1',
      createdAt: '2026-11-21T10:00:00Z',
    }));

  test('BuildCache: takes all that an agent says, up to 256 generations', async () => {
    await create(room, 'full');
    const status = {
      observedGeneration: 1,
      currentGeneration: 256,
      generations: generations(256),
      activeClaims: 50,
      published: 255,
      superseded: 3,
      unchanged: 2,
      discarded: 1,
      lastPublishedAt: '2026-11-21T10:00:00Z',
      conditions: [condition('Ready', 'True', 'Ready')],
    };
    const answer = await applyStatus(room, 'full', AGENT, status);
    expect([answer.status, answer.body.status]).toEqual([200, status]);
    const more = await applyStatus(room, 'full', AGENT, { ...status, generations: generations(257) });
    expect(more).toEqual(refusal('status.generations: Too many: 257: must have at most 256 items'));
  });
});

describe('kubectl get bcache', () => {
  beforeAll(async () => {
    await waitFor(() => room.kubectl(['explain', 'bcache']), { what: 'short name bcache' });
    await create(room, 'npm', { pinnedGeneration: 4, publishPolicy: 'LastWriterWins' });
    await applyStatus(room, 'npm', CONTROLLER_MANAGER, { nodeName: 'node-a', conditions: [scheduled] });
    await applyStatus(room, 'npm', AGENT, {
      observedGeneration: 1,
      currentGeneration: 7,
      activeClaims: 2,
      lastPublishedAt: new Date(Date.now() - 3 * 3600_000).toISOString(),
      conditions: [condition('Ready', 'True', 'Ready')],
    });
  });

  test('BuildCache: kubectl get bcache answers whether claims get clones, of what, and how many have', async () => {
    const [head, line] = rowsOf(await room.kubectl(['get', 'bcache', 'npm']));
    expect(head).toEqual(['NAME', 'READY', 'REASON', 'VOLUME', 'GENERATION', 'PINNED', 'CLAIMS', 'PUBLISHED', 'AGE']);
    expect(line?.slice(0, -1)).toEqual(['npm', 'True', 'Ready', 'demo', '7', '4', '2', '3h']);
  });

  test('BuildCache: kubectl get bcache -o wide adds policy, node and the message', async () => {
    const [head, line] = rowsOf(await room.kubectl(['get', 'bcache', 'npm', '-o', 'wide']));
    expect(head?.slice(9)).toEqual(['POLICY', 'NODE', 'MESSAGE']);
    expect(line?.slice(9)).toEqual(['LastWriterWins', 'node-a', 'Ready is True']);
  });

  test('BuildCache: is listed with the category, and by node as an agent asks', async () => {
    expect(await room.kubectl(['get', 'btrfs', '-o', 'name'])).toContain('buildcache.btrfs-operator.io/npm');
    const names = await room.kubectl(['get', 'bcache', '--field-selector=status.nodeName=node-a', '-o', 'name']);
    expect(names).toContain('buildcache.btrfs-operator.io/npm');
    expect(names).not.toContain('/defaults');
  });
});
