import { beforeAll, describe, expect, test } from 'vitest';
import { parseBuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import { agentManager, CONTROLLER_MANAGER } from '../../../src/api/group.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { badNames, claimCalls, refusal, rowsOf } from './build-cache-objects.ts';
import { condition, createRoom, type Room } from './objects.ts';

const { create, dryRun, patch, applyStatus, pathOf, manifest } = claimCalls;
const AGENT = agentManager('node-a');
const scheduled = condition('Scheduled', 'True', 'Placed');
const owner = (uid: number) => ({ owner: { uid } });

let room: Room;
beforeAll(async () => {
  room = await createRoom();
});

describe('BuildCacheClaim: what can be refused at apply is refused in words', () => {
  const refused: readonly (readonly [what: string, spec: object, message: string])[] = [
    ['no cache', { cacheRef: null }, 'spec.cacheRef: Required value'],
    ['a cache without a name', { cacheRef: {} }, 'spec.cacheRef.name: Required value'],
    ['a name longer than names are', { cacheRef: { name: 'c'.repeat(254) } }, 'may not be more than 253 bytes'],
    ['a cache of another namespace', { cacheRef: { name: 'a', namespace: 'b' } }, 'spec.cacheRef.namespace'],
    [
      'another access',
      { access: 'WriteOnly' },
      'spec.access: Unsupported value: "WriteOnly": supported values: "ReadWrite", "ReadOnly"',
    ],
    [
      'another release',
      { release: 'publish' },
      'spec.release: Unsupported value: "publish": supported values: "Publish", "Discard"',
    ],
    ['an empty release', { release: '' }, 'spec.release: Unsupported value: ""'],
    [
      'a time before the release',
      { ttlSecondsAfterReleased: -1 },
      'spec.ttlSecondsAfterReleased in body should be greater than or equal to 0',
    ],
    [
      'more than a year and a day',
      { ttlSecondsAfterReleased: 31_622_401 },
      'spec.ttlSecondsAfterReleased in body should be less than or equal to 31622400',
    ],
    ['a duration', { ttlSecondsAfterReleased: '5m' }, 'spec.ttlSecondsAfterReleased'],
    ['setgid', { owner: { mode: '2755' } }, 'setuid, setgid and sticky bits are refused; got 2755'],
    ['a negative gid', { owner: { gid: -1 } }, 'spec.owner.gid in body should be greater than or equal to 0'],
  ];

  test.each(refused)('BuildCacheClaim: %s is refused', async (_what, spec, message) => {
    const { status, body } = await create(room, 'refused', spec);
    expect(status, JSON.stringify(body)).toBeGreaterThanOrEqual(400);
    expect([body.code < 500, body.message]).toEqual([true, expect.stringContaining(message)]);
  });

  test.each(badNames)('D18 BuildCacheClaim: %j is no name of a cache', async (name) => {
    expect(await create(room, 'refused', { cacheRef: { name } })).toEqual(
      refusal('must be the name of an object, in lower case letters, digits, - and .'),
    );
  });

  test('BuildCacheClaim: an unknown field is refused by kubectl apply', async () => {
    const stdin = JSON.stringify(manifest('unknown', { ttlSeconds: 2 }));
    await expect(room.kubectl(['apply', '-f-'], { stdin })).rejects.toThrow('unknown field "spec.ttlSeconds"');
  });
});

describe('BuildCacheClaim: defaults', () => {
  test('BuildCacheClaim: a cache is enough, the rest has defaults, the same as parseBuildCacheClaim has', async () => {
    const expected = { cacheRef: { name: 'npm' }, access: 'ReadWrite', ttlSecondsAfterReleased: 300 };
    const { status, body } = await create(room, 'defaults');
    expect([status, body.spec]).toEqual([201, expected]);
    const metadata = { name: 'x', uid: 'u', resourceVersion: '1' };
    expect(parseBuildCacheClaim({ metadata, spec: { cacheRef: { name: 'npm' } } }).spec).toEqual(expected);
  });

  test('BuildCacheClaim: a new object has observedGeneration -1 and Ready Unknown, so that nothing takes it for done', async () => {
    await create(room, 'fresh');
    expect((await room.call(pathOf(room, 'fresh'))).body.status).toEqual({
      observedGeneration: -1,
      conditions: [expect.objectContaining({ type: 'Ready', status: 'Unknown', reason: 'Pending' })],
    });
  });

  const accepted: readonly (readonly [what: string, spec: object])[] = [
    ['a ReadOnly one', { access: 'ReadOnly' }],
    ['an owner', { owner: { uid: 1000, gid: 1000, mode: '0700' } }],
    ['one that goes at once', { ttlSecondsAfterReleased: 0 }],
    ['one that stays for a year and a day', { ttlSecondsAfterReleased: 31_622_400 }],
    ['one that is released from the start', { release: 'Discard' }],
  ];

  test.each(accepted)('BuildCacheClaim: %s is accepted', async (_what, spec) => {
    const { status, body } = await dryRun(room, spec);
    expect([status, body.spec]).toEqual([201, expect.objectContaining(spec)]);
  });
});

describe('BuildCacheClaim: what stays', () => {
  const immutable = 'Invalid value: cannot be changed; make a new BuildCacheClaim';
  const accessStays = (value: string) =>
    `spec.access: Invalid value: "${value}": cannot be changed; make a new BuildCacheClaim`;
  const added = 'spec.owner: Invalid value: cannot be added or removed; make a new BuildCacheClaim';
  const changes: readonly (readonly [from: object, to: object, message: string])[] = [
    [{}, { cacheRef: { name: 'other' } }, `spec.cacheRef: ${immutable}`],
    [{}, { access: 'ReadOnly' }, accessStays('ReadOnly')],
    [{ access: 'ReadOnly' }, { access: 'ReadWrite' }, accessStays('ReadWrite')],
    [{ access: 'ReadOnly' }, { access: null }, accessStays('ReadWrite')],
    [owner(1), owner(2), `spec.owner: ${immutable}`],
    [owner(1), { owner: { mode: '0700' } }, `spec.owner: ${immutable}`],
    [owner(1), { owner: null }, added],
    [{}, owner(1), added],
  ];
  test.each(changes.map((change, index) => [index, ...change] as const))(
    'BuildCacheClaim: %i: %j to %j is refused',
    async (index, from, to, message) => {
      expect((await create(room, `stays-${index}`, from)).status).toBe(201);
      expect(await patch(room, `stays-${index}`, to)).toEqual(refusal(message));
    },
  );

  test.each([
    ['Publish', 'Discard'],
    ['Discard', 'Publish'],
  ])(
    'BuildCacheClaim: release is set once: %s is accepted, twice too; neither %s nor nothing follows it',
    async (release, other) => {
      const name = `release-${release.toLowerCase()}`;
      await create(room, name);
      expect((await patch(room, name, { release })).body.spec.release).toBe(release);
      expect((await patch(room, name, { release })).status).toBe(200);
      const once = `spec.release: Invalid value: is set once and was ${release}; make a new BuildCacheClaim`;
      expect(await patch(room, name, { release: other })).toEqual(refusal(once));
      expect(await patch(room, name, { release: null })).toEqual(refusal(once));
    },
  );

  test('BuildCacheClaim: of two who release it differently at once, one is refused', async () => {
    await create(room, 'race');
    const answers = await Promise.all(['Publish', 'Discard'].map((release) => patch(room, 'race', { release })));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 422]);
  });

  test('BuildCacheClaim: the time after the release may change at any time', async () => {
    await create(room, 'ttl', { release: 'Publish' });
    for (const ttlSecondsAfterReleased of [0, 60, null])
      expect((await patch(room, 'ttl', { ttlSecondsAfterReleased })).status).toBe(200);
    expect((await room.call(pathOf(room, 'ttl'))).body.spec.ttlSecondsAfterReleased).toBe(300);
  });

  test('BuildCacheClaim: status.nodeName is set once: neither changed nor removed', async () => {
    await create(room, 'once');
    const place = (status: object) =>
      applyStatus(room, 'once', CONTROLLER_MANAGER, { conditions: [scheduled], ...status });
    expect((await place({ nodeName: 'node-a' })).status).toBe(200);
    const stays = refusal('status.nodeName: Invalid value: is set once; the BuildCacheClaim stays on node-a');
    expect(await place({ nodeName: 'node-b' })).toEqual(stays);
    expect(await place({})).toEqual(stays);
  });

  test('BuildCacheClaim: an agent that writes the field or the condition of the controller gets a conflict', async () => {
    await create(room, 'two-writers');
    await applyStatus(room, 'two-writers', CONTROLLER_MANAGER, { nodeName: 'node-a', conditions: [scheduled] });
    const other = condition('Scheduled', 'False', 'CacheNotFound');
    for (const status of [{ nodeName: 'node-b' }, { conditions: [other] }])
      expect((await applyStatus(room, 'two-writers', AGENT, status)).status).toBe(409);
  });
});

describe('BuildCacheClaim: status', () => {
  const mount = { device: '/dev/loop7', fsType: 'btrfs', options: ['subvolid=300'] };

  test.each(['Published', 'Superseded', 'Unchanged', 'Discarded'])(
    'BuildCacheClaim: takes all that an agent says of outcome %s',
    async (outcome) => {
      const name = `status-${outcome.toLowerCase()}`;
      await create(room, name);
      const conditions = [condition('Ready', 'True', outcome), condition('Released', 'True', outcome)];
      const status = {
        observedGeneration: 2,
        baseGeneration: 3,
        path: '/p',
        mount,
        outcome,
        reason: 'Unchanged',
        generation: 4,
        conditions,
      };
      const answer = await applyStatus(room, name, AGENT, status);
      expect([answer.status, answer.body.status]).toEqual([200, status]);
    },
  );

  test('BuildCacheClaim: an outcome of another name is refused', async () => {
    await create(room, 'outcome');
    expect(await applyStatus(room, 'outcome', AGENT, { outcome: 'Lost' })).toEqual(
      refusal('status.outcome: Unsupported value: "Lost"'),
    );
  });
});

describe('kubectl get bclaim', () => {
  beforeAll(async () => {
    await waitFor(() => room.kubectl(['explain', 'bclaim']), { what: 'short name bclaim' });
    await create(room, 'job', { release: 'Publish' });
    await applyStatus(room, 'job', CONTROLLER_MANAGER, { nodeName: 'node-a', conditions: [scheduled] });
    await applyStatus(room, 'job', AGENT, {
      observedGeneration: 1,
      baseGeneration: 3,
      path: '/var/lib/x/rw',
      outcome: 'Superseded',
      generation: 4,
      conditions: [condition('Ready', 'True', 'Superseded')],
    });
  });

  test('BuildCacheClaim: kubectl get bclaim answers what it is a clone of, and what became of it', async () => {
    const [head, line] = rowsOf(await room.kubectl(['get', 'bclaim', 'job']));
    expect(head).toEqual(['NAME', 'READY', 'REASON', 'CACHE', 'BASE', 'RELEASE', 'OUTCOME', 'GENERATION', 'AGE']);
    expect(line?.slice(0, -1)).toEqual(['job', 'True', 'Superseded', 'npm', '3', 'Publish', 'Superseded', '4']);
  });

  test('BuildCacheClaim: kubectl get bclaim -o wide adds access, node, directory and the message', async () => {
    const [head, line] = rowsOf(await room.kubectl(['get', 'bclaim', 'job', '-o', 'wide']));
    expect(head?.slice(9)).toEqual(['ACCESS', 'NODE', 'PATH', 'MESSAGE']);
    expect(line?.slice(9)).toEqual(['ReadWrite', 'node-a', '/var/lib/x/rw', 'Ready is True']);
  });

  test('BuildCacheClaim: is listed with the category, and by node as an agent asks', async () => {
    expect(await room.kubectl(['get', 'btrfs', '-o', 'name'])).toContain('buildcacheclaim.btrfs-operator.io/job');
    const names = await room.kubectl(['get', 'bclaim', '--field-selector=status.nodeName=node-a', '-o', 'name']);
    expect(names).toContain('buildcacheclaim.btrfs-operator.io/job');
    expect(names).not.toContain('/defaults');
  });
});
