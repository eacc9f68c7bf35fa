import { existsSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { buildCacheType } from '../../../src/api/build-cache.ts';
import { buildCacheClaimType } from '../../../src/api/build-cache-claim.ts';
import { type Condition, findCondition } from '../../../src/api/conditions.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../../../src/api/loopback-volume.ts';
import { snapshotType } from '../../../src/api/snapshot.ts';
import { type KubeObject, keyOf } from '../../../src/kube/object.ts';
import { createResourceClient, type ResourceClient } from '../../../src/kube/resource-client.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { cacheKit } from '../caches/kit.ts';
import { type Lab, startLab } from '../lab.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';
import { sh } from './host-view.ts';

type Held = KubeObject & { readonly status: { readonly conditions?: readonly Condition[] | undefined } };

let lab: Lab;
let snapshots: SnapshotKit;
let clients: readonly ResourceClient<Held>[];
const volumes = new Map<string, LoopbackVolume>();

const imageOf = ({ status }: LoopbackVolume) => status.imagePath ?? '';
const recordOf = (volume: LoopbackVolume) =>
  path.join(lab.rootPath('node-a'), 'records', `${volume.metadata.uid}.json`);

/** What befalls a volume, with the name of the volume; and how a person ends what waits after that. */
const failures = {
  'image-gone': { befall: (volume: LoopbackVolume) => rmSync(imageOf(volume)) },
  'image-cut': { befall: (volume: LoopbackVolume) => truncateSync(imageOf(volume), 0) },
  'record-torn': { befall: (volume: LoopbackVolume) => writeFileSync(recordOf(volume), '{"torn') },
  'read-only': {
    befall: ({ status }: LoopbackVolume) => void sh('mount', '-o', 'remount,ro', status.mountPath ?? ''),
  },
  foreign: {
    befall: (volume: LoopbackVolume) => {
      renameSync(imageOf(volume), `${imageOf(volume)}.away`);
      sh('truncate', '--size=256M', imageOf(volume));
      sh('mkfs.btrfs', '-q', imageOf(volume));
    },
    waits: /LoopbackVolume .*ForeignFilesystem Stalled: .*delete it, then the deletion goes on/,
    end: (volume: LoopbackVolume) => rmSync(imageOf(volume)),
  },
} as const;
interface Fate {
  readonly befall: (volume: LoopbackVolume) => void;
  /** What the volume says while a person has to do something. */
  readonly waits?: RegExp;
  readonly end?: (volume: LoopbackVolume) => void;
}
type Failure = keyof typeof failures;
const names = Object.keys(failures) as Failure[];

beforeAll(async () => {
  lab = await startLab();
  snapshots = snapshotKit(lab);
  const caches = cacheKit(lab);
  clients = [buildCacheClaimType, buildCacheType, snapshotType, loopbackVolumeType].map((type) =>
    createResourceClient(lab.transport, type as never),
  );
  await lab.startAgent('node-a');
  await Promise.all(
    names.map(async (name) => {
      await lab.createVolume(name, { size: '256Mi', nodeName: 'node-a' });
      volumes.set(name, await lab.ready(name));
      await Promise.all([snapshots.create(name, name), caches.createCache(name, name)]);
      await snapshots.ready(name);
      await caches.startJob(name, name);
    }),
  );
  for (const name of names) failures[name].befall(volumeOf(name));
  // All at once, as when their namespace is deleted.
  for (const client of clients) await Promise.all(names.map((name) => client.delete(`default/${name}`)));
}, 120_000);
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

function volumeOf(name: string): LoopbackVolume {
  const volume = volumes.get(name);
  if (volume === undefined) throw new Error(name);
  return volume;
}

/** What is still there, and what each says. */
async function leftOf(name: string): Promise<readonly string[]> {
  const all = await Promise.all(clients.map((client) => client.get(`default/${name}`)));
  return all.flatMap((object) => {
    if (object === undefined) return [];
    const [removed, stalled] = ['Removed', 'Stalled'].map((type) => findCondition(object.status.conditions, type));
    return [
      `${object.kind} ${keyOf(object)}: ${removed?.reason} ${stalled === undefined ? '' : 'Stalled'}: ${removed?.message}`,
    ];
  });
}

test.each(names)('F50 F44 F37 removal: all kinds go when what they live in is lost: %s', async (name) => {
  const { end, waits }: Fate = failures[name];
  // Somebody has to mend one of them: that is looked at again each 10 s.
  const limit = { timeoutMs: 30_000 };
  if (end !== undefined) {
    // What lives in it waits for nobody; the volume goes as well, or says what a person has to do.
    const isAlone = async () => (await leftOf(name)).every((line) => line.match(waits ?? '') !== null);
    await waitFor(isAlone, { what: `a word on ${name}`, ...limit });
    end(volumeOf(name));
  }
  await waitFor(async () => (await leftOf(name)).length === 0, { what: `end of ${name}`, ...limit }).catch(
    async (cause: unknown) => {
      throw new Error((await leftOf(name)).join('\n'), { cause });
    },
  );
  expect(existsSync(imageOf(volumeOf(name)))).toBe(false);
});
