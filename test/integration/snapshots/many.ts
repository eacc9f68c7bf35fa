import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { dataPathOf, type Lab } from '../lab.ts';
import { conditionOf, pathOf, type SnapshotKit } from './kit.ts';
import { expectTreeToMatch } from './on-disk.ts';

const MiB = 1024 * 1024;
const FILE_MIB = 64;
/** Requests of the client under way. */
const AT_ONCE = 32;
/** Blocks of metadata come and go meanwhile. */
const FREED_BYTES = (FILE_MIB - 4) * MiB;

export interface Many {
  readonly lab: Lab;
  readonly snapshots: SnapshotKit;
  /** Name of a volume without Snapshots. */
  readonly volume: string;
  readonly count: number;
}

/** Applies the Snapshots at once, of data that only they hold in the end; resolves when all are Ready and on disk as they say. */
export async function createMany({ lab, snapshots, volume, count }: Many): Promise<{ readonly readySeconds: number }> {
  const dataPath = dataPathOf(await lab.ready(volume));
  mkdirSync(path.join(dataPath, 'many'));
  writeRandom(path.join(dataPath, 'many', 'file'));
  const startedAt = performance.now();
  await forMany(count, (name) => snapshots.create(name, volume));
  const all = await waitFor(
    async () => {
      const list = await snapshots.client.list();
      return list.filter((one) => conditionOf(one, 'Ready')?.status === 'True').length === count && list;
    },
    // A list of so many is work for the API server.
    { what: `${count} Ready Snapshots`, timeoutMs: 300 * count, everyMs: count },
  );
  const readySeconds = secondsSince(startedAt);
  expectTreeToMatch(await lab.ready(volume), all);
  rmSync(path.join(dataPath, 'many'), { recursive: true });
  execFileSync('btrfs', ['filesystem', 'sync', dataPath]);
  return { readySeconds };
}

/** Deletes at once what {@link createMany} made; resolves when all are gone, from the volume too. */
export async function deleteMany({ lab, snapshots, volume, count }: Many) {
  const spaceIsBack = watchSpace(await lab.ready(volume));
  const startedAt = performance.now();
  await forMany(count, (name) => snapshots.client.delete(`default/${name}`));
  await waitFor(spaceIsBack, { what: 'space', timeoutMs: 30_000, everyMs: 100 });
  const spaceSeconds = secondsSince(startedAt);
  await waitFor(async () => (await snapshots.client.list()).length === 0, {
    what: 'end of all',
    timeoutMs: 300 * count,
    everyMs: count,
  });
  const goneSeconds = secondsSince(startedAt);
  expectTreeToMatch(await lab.ready(volume), []);
  return { spaceSeconds, goneSeconds };
}

/** Makes one more Snapshot with data of its own and deletes it; resolves when its space is back. */
export async function deleteOne({ lab, snapshots, volume }: Many): Promise<{ readonly spaceSeconds: number }> {
  await snapshots.create('one', volume, { source: { empty: {} }, access: 'ReadWrite' });
  writeRandom(path.join(pathOf(await snapshots.ready('one')), 'file'));
  const spaceIsBack = watchSpace(await lab.ready(volume));
  const startedAt = performance.now();
  await snapshots.client.delete('default/one');
  await waitFor(spaceIsBack, { what: 'space', everyMs: 50 });
  return { spaceSeconds: secondsSince(startedAt) };
}

/** As fast as the API server takes it, but no faster: what waits in the client runs into its deadline on a busy machine. */
async function forMany(count: number, work: (name: string) => Promise<unknown>): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `many-${index}`).values();
  const workInTurn = async () => {
    for (const name of names) await work(name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, workInTurn));
}

function writeRandom(file: string): void {
  execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', `count=${FILE_MIB}`, 'conv=fsync', 'status=none']);
}

/** True as soon as as much is free again as a file of {@link writeRandom} takes. */
function watchSpace({ status: { mountPath = '' } }: LoopbackVolume): () => boolean {
  const freeBytes = () => {
    const { bsize, bavail } = statfsSync(mountPath);
    return bsize * bavail;
  };
  const before = freeBytes();
  return () => freeBytes() - before > FREED_BYTES;
}

function secondsSince(startedAt: number): number {
  return Math.round((performance.now() - startedAt) / 100) / 10;
}
