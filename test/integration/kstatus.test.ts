import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { btrfsNodeType } from '../../src/api/btrfs-node.ts';
import { buildCacheType } from '../../src/api/build-cache.ts';
import { buildCacheClaimType } from '../../src/api/build-cache-claim.ts';
import type { Condition } from '../../src/api/conditions.ts';
import { loopbackVolumeType } from '../../src/api/loopback-volume.ts';
import { snapshotType } from '../../src/api/snapshot.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { type Reflector, startReflector } from '../../src/kube/reflector.ts';
import { type AnyObject, type KStatus, kstatusOf } from '../builders/kstatus.ts';
import type { OperatorProcess } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait-for.ts';
import { cacheKit } from './caches/kit.ts';
import { type Lab, startLab } from './lab.ts';
import { snapshotKit } from './snapshots/kit.ts';
import { ofFile, sha256Of } from './snapshots/stream-lab.ts';

/** Longer than a machine stalls, which must not make a node a lost one, and short enough to wait for. */
const FLAGS = ['--lease-seconds=8', '--renew-seconds=1'];
const GARBAGE = Buffer.from('this is no send stream');
const types = [loopbackVolumeType, snapshotType, buildCacheType, buildCacheClaimType, btrfsNodeType];

type Seen = KubeObject &
  Pick<AnyObject, 'metadata'> & {
    readonly status: { readonly observedGeneration?: number; readonly conditions?: readonly Condition[] };
  };

let lab: Lab;
let agent: OperatorProcess;
let watches: Reflector<Seen>[];
/** What kstatus took each object for, one after the other, from its creation on; the same is said once. */
const lives = new Map<string, KStatus[]>();
const latest = new Map<string, Seen>();

const idOf = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.name}`;
const reaches = (id: string, status: KStatus) =>
  waitFor(() => lives.get(id)?.at(-1) === status, {
    what: `${id} ${status}, only ${lives.get(id)}`,
    timeoutMs: 15_000,
  });

beforeAll(async () => {
  lab = await startLab();
  watches = types.map((type) =>
    startReflector<Seen>({
      transport: lab.transport,
      // As the server has it, without what our own reading would add.
      type: { ...type, parse: (raw) => raw as Seen },
      log: lab.log,
      onChange({ kind, object }) {
        const id = idOf(object);
        if (kind === 'deleted') return void lives.delete(id);
        latest.set(id, object);
        const life = lives.get(id) ?? [];
        const status = kstatusOf(object);
        if (life.at(-1) !== status) lives.set(id, [...life, status]);
      },
    }),
  );
  await Promise.all(watches.map((watch) => watch.synced()));
});
afterAll(async () => {
  await Promise.all((watches ?? []).map((watch) => watch.stop()));
  await lab?.[Symbol.asyncDispose]();
});
beforeEach(() => lab.showLogsOnFailure());

const ALL = [
  'BtrfsNode node-a',
  'LoopbackVolume vol',
  'Snapshot base',
  'Snapshot work',
  'BuildCache cache',
  'BuildCacheClaim job',
];
const PLACED = ALL.slice(1);

describe('kstatus, which GitOps tools go by', () => {
  it('objects that wait for their node or for each other are InProgress, and Current once and for all when they are there', async () => {
    const snapshots = snapshotKit(lab);
    const caches = cacheKit(lab);
    // Those first that need the others: the order of a GitOps tool says nothing.
    await caches.createClaim('job', 'cache');
    await caches.createCache('cache', 'vol');
    await snapshots.create('work', 'vol', { source: { snapshotRef: { name: 'base' } }, access: 'ReadWrite' });
    await snapshots.create('base', 'vol');
    await lab.createVolume('vol', { nodeName: 'node-a', size: '512Mi' });
    await lab.volumeThat(
      'vol',
      ({ status }) => status.conditions?.some(({ reason }) => reason === 'UnknownNode') === true,
    );
    for (const id of PLACED) expect([id, lives.get(id)]).toEqual([id, ['InProgress']]);
    agent = await lab.startAgent('node-a', { flags: FLAGS });
    await Promise.all(ALL.map((id) => reaches(id, 'Current')));
    for (const id of ALL) expect([id, lives.get(id)]).toEqual([id, ['InProgress', 'Current']]);
  });

  it('every condition says which generation it is about, and Reconciling and Stalled are absent from what is fine', () => {
    for (const id of ALL) {
      const { metadata, status } = latest.get(id) as Seen;
      for (const { type, observedGeneration = 0 } of status.conditions ?? []) {
        expect([id, type, observedGeneration]).toEqual([id, type, metadata.generation]);
        expect(['Reconciling', 'Stalled']).not.toContain(type);
      }
    }
  });

  it('a change of spec is InProgress until it is carried out', async () => {
    await lab.change('vol', { size: '640Mi' });
    await snapshotKit(lab).change('work', { access: 'ReadOnly' });
    await cacheKit(lab).release('job');
    await Promise.all(
      ['LoopbackVolume vol', 'Snapshot work', 'BuildCacheClaim job'].map(async (id) => {
        await waitFor(() => (lives.get(id)?.length ?? 0) >= 4 && lives.get(id)?.at(-1) === 'Current', {
          what: `${id} ${lives.get(id)}`,
        });
        expect([id, lives.get(id)]).toEqual([id, ['InProgress', 'Current', 'InProgress', 'Current']]);
      }),
    );
    expect((await lab.volumes.get('default/vol'))?.status.sizeBytes).toBe(640 * 2 ** 20);
  });

  it('what a retry can not mend is Failed, and Current when a person has mended it', async () => {
    const importsPath = path.join(lab.rootPath('node-a'), 'imports/default');
    mkdirSync(importsPath, { recursive: true });
    writeFileSync(path.join(importsPath, 'garbage.stream'), GARBAGE);
    const source = ofFile('garbage.stream', sha256Of(GARBAGE));
    await lab.createVolume('bad', { nodeName: 'node-a', size: '256Mi', ...source });
    await snapshotKit(lab).create('bad', 'vol', source);
    const caches = cacheKit(lab);
    await caches.changeCache('cache', { pinnedGeneration: 7 });
    for (const id of ['LoopbackVolume bad', 'Snapshot bad', 'BuildCache cache']) await reaches(id, 'Failed');
    for (const id of ['LoopbackVolume bad', 'Snapshot bad']) {
      expect([id, lives.get(id)]).toEqual([id, ['InProgress', 'Failed']]);
    }
    await caches.changeCache('cache', { pinnedGeneration: null });
    await reaches('BuildCache cache', 'Current');
  });

  it('what waits for another object is InProgress, not Failed: it may come yet', async () => {
    const snapshots = snapshotKit(lab);
    const caches = cacheKit(lab);
    await snapshots.create('of-none', 'no-such-volume');
    await snapshots.create('of-nothing', 'vol', { source: { snapshotRef: { name: 'no-such-snapshot' } } });
    await caches.createCache('of-none', 'no-such-volume');
    await caches.createClaim('of-none', 'no-such-cache');
    const saysWhy = (id: string) =>
      latest.get(id)?.status.conditions?.some(({ reason }) => /NotFound|Missing/.test(reason)) === true;
    for (const id of ['Snapshot of-none', 'Snapshot of-nothing', 'BuildCache of-none', 'BuildCacheClaim of-none']) {
      await waitFor(() => saysWhy(id), { what: `reason of ${id}, only ${JSON.stringify(latest.get(id)?.status)}` });
      expect([id, lives.get(id)]).toEqual([id, ['InProgress']]);
    }
  });

  it('NodeLost: what is on a node whose agent is silent is InProgress, and Current again when it is back', async () => {
    agent.kill('SIGKILL');
    await Promise.all(ALL.map((id) => reaches(id, 'InProgress')));
    await lab.startAgent('node-a', { flags: FLAGS });
    await Promise.all(ALL.map((id) => reaches(id, 'Current')));
  });

  it('what is being deleted is Terminating until it is gone, in whichever order it is deleted', async () => {
    const clients = { volumes: lab.volumes, ...snapshotKit(lab), ...cacheKit(lab) };
    await clients.volumes.delete('default/vol');
    await reaches('LoopbackVolume vol', 'Terminating');
    for (const name of ['base', 'work', 'bad', 'of-none', 'of-nothing']) await clients.client.delete(`default/${name}`);
    for (const name of ['cache', 'of-none']) await clients.caches.delete(`default/${name}`);
    for (const name of ['job', 'of-none']) await clients.claims.delete(`default/${name}`);
    await clients.volumes.delete('default/bad');
    await waitFor(() => [...lives.keys()].join() === 'BtrfsNode node-a', {
      what: `end of all but ${[...lives.keys()]}`,
      timeoutMs: 20_000,
    });
  });
});
