import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createStreamValidator, strictStreamLimits } from '../../src/storage/streams/validate-stream.ts';
import { rawCreate, rawRemove } from './raw.ts';
import { compare, heading, names, row } from './table.ts';
import { Times } from './times.ts';
import type { Users } from './user.ts';

const exec = promisify(execFile);
const ROUNDS = 10;
const MANY = 300;
const TRANSFER_MIB = 1024;

/** Snapshots through the API beside `btrfs subvolume snapshot`, transfers beside `btrfs send | btrfs receive`. */
export async function benchSnapshots({ volumes, snapshots }: Users, rawDir: string): Promise<void> {
  heading('Snapshot');
  const [source, target] = [await rawCreate(rawDir, 'source', '4G'), await rawCreate(rawDir, 'target', '4G')];
  await exec('btrfs', ['subvolume', 'create', path.join(source.mountPath, 'data')]);
  const [volume] = await Promise.all([
    volumes.create('source', { size: '4Gi', nodeName: 'node-a' }),
    volumes.create('beside', { size: '4Gi', nodeName: 'node-a' }),
    volumes.create('target', { size: '4Gi', nodeName: 'node-b' }),
  ]);
  const rawSnapshot = (name: string) =>
    exec('btrfs', [
      'subvolume',
      'snapshot',
      '-r',
      path.join(source.mountPath, 'data'),
      path.join(source.mountPath, name),
    ]);
  const create = (name: string) => snapshots.create(name, { volumeRef: { name: 'source' } });

  const times = { raw: new Times(), ours: new Times() };
  for (const name of names('one', ROUNDS)) {
    await times.raw.of('one', () => rawSnapshot(name));
    await times.ours.of('one', () => create(name));
  }
  compare(`create one, median of ${ROUNDS}`, times.raw.median('one'), times.ours.median('one'));
  const all = names('many', MANY);
  await times.raw.of('many', async () => {
    for (const name of all) await rawSnapshot(name);
  });
  await times.ours.of('many', () => Promise.all(all.map(create)));
  compare(`create ${MANY} at once (raw: in a row)`, times.raw.median('many'), times.ours.median('many'));
  await times.raw.of('delete', async () => {
    for (const name of all) await exec('btrfs', ['subvolume', 'delete', path.join(source.mountPath, name)]);
  });
  await times.ours.of('delete', () => Promise.all(all.map((name) => snapshots.remove(name))));
  compare(`delete ${MANY} at once (raw: in a row)`, times.raw.median('delete'), times.ours.median('delete'));

  await benchTransfers(snapshots, {
    from: source.mountPath,
    to: target.mountPath,
    dataPath: path.join(volume?.status.mountPath ?? '', 'data'),
  });
  await rawRemove(source);
  await rawRemove(target);
}

async function benchTransfers(
  snapshots: Users['snapshots'],
  { from, to, dataPath }: { readonly from: string; readonly to: string; readonly dataPath: string },
): Promise<void> {
  // Zeros compress to nothing, and would measure nothing: every block its own bytes, written by the same program into both.
  const fill = async (dataPath: string, name: string, mebibytes: number) => {
    await exec('dd', [
      'if=/dev/urandom',
      `of=${path.join(dataPath, name)}`,
      'bs=1M',
      `count=${mebibytes}`,
      'conv=fsync',
    ]);
  };
  await fill(path.join(from, 'data'), 'big', TRANSFER_MIB);
  await fill(dataPath, 'big', TRANSFER_MIB);
  const times = { raw: new Times(), ours: new Times() };
  const snapshot = (name: string) =>
    exec('btrfs', ['subvolume', 'snapshot', '-r', path.join(from, 'data'), path.join(from, name)]);

  await snapshot('full');
  await snapshots.create('full', { volumeRef: { name: 'source' } });
  await times.raw.of('full', () => rawTransfer([path.join(from, 'full')], to));
  await times.ours.of('full', () => receive(snapshots, 'full', 'target'));
  compare(`transfer ${TRANSFER_MIB} MiB to another node`, times.raw.median('full'), times.ours.median('full'));
  await benchValidator(path.join(from, 'full'), times);
  await times.ours.of('local', () => receive(snapshots, 'full', 'beside'));
  compare(
    `transfer ${TRANSFER_MIB} MiB to another volume of the node`,
    times.raw.median('full'),
    times.ours.median('local'),
  );

  await writeFile(path.join(from, 'data', 'small'), 'small');
  await writeFile(path.join(dataPath, 'small'), 'small');
  await snapshot('next');
  await snapshots.create('next', { volumeRef: { name: 'source' } });
  await times.raw.of('next', () => rawTransfer(['-p', path.join(from, 'full'), path.join(from, 'next')], to));
  await times.ours.of('next', () => receive(snapshots, 'next', 'target'));
  compare('transfer a small increment to another node', times.raw.median('next'), times.ours.median('next'));
}

/** What the validator of streams from outside costs, beside reading the same stream from the disk. */
async function benchValidator(
  snapshotPath: string,
  times: { readonly raw: Times; readonly ours: Times },
): Promise<void> {
  const streamPath = `${path.dirname(snapshotPath)}.stream`;
  await exec('btrfs', ['send', '--quiet', '-f', streamPath, snapshotPath]);
  await times.raw.of('stream', () => exec('dd', [`if=${streamPath}`, 'of=/dev/null', 'bs=1M', 'iflag=direct']));
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const chunks = { highWaterMark: 2 ** 20 };
  await times.ours.of('stream', () =>
    pipeline(createReadStream(streamPath, chunks), createStreamValidator(strictStreamLimits), nowhere),
  );
  await rm(streamPath);
  const [rawMs, oursMs] = [times.raw.median('stream'), times.ours.median('stream')];
  compare(`validate ${TRANSFER_MIB} MiB of stream (raw: read it from disk)`, rawMs, oursMs);
  const rate = (ms: number) => `${((TRANSFER_MIB * 1000) / ms).toFixed(0)} MiB/s`;
  row('  that is', rate(rawMs), rate(oursMs));
}

/** `btrfs send | btrfs receive`, as an administrator would type it. */
async function rawTransfer(send: readonly string[], to: string): Promise<void> {
  const pipe = spawn('sh', ['-c', 'to="$1"; shift; btrfs send "$@" | btrfs receive "$to"', 'sh', to, ...send], {
    stdio: 'ignore',
  });
  await once(pipe, 'exit');
  await exec('btrfs', ['filesystem', 'sync', to]);
}

async function receive(snapshots: Users['snapshots'], name: string, volume: string): Promise<void> {
  await snapshots.create(`${name}-in-${volume}`, {
    volumeRef: { name: volume },
    source: { snapshotRef: { name } },
  });
}
