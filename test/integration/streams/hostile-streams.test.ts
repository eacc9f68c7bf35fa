import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { adaptIncrement } from '../../../src/storage/streams/adapt-increment.ts';
import { type StreamLimits, strictStreamLimits } from '../../../src/storage/streams/validate-stream.ts';
import { hostileStreams } from '../../builders/hostile-streams.ts';
import { randomOf } from '../../builders/random.ts';
import { randomStream } from '../../builders/random-streams.ts';
import { command, commandsOf, end, full, streamOf } from '../../builders/send-stream.ts';
import { mutated } from '../../builders/stream-mutations.ts';
import { validate } from '../../builders/validate.ts';
import { sh } from '../recovery/host-view.ts';
import { openReceiver, type Receiver } from './receiver.ts';
import { changeRichTree, sendStream, snapshotOf, writeRichTree } from './rich-tree.ts';

/** Longer with STREAM_FUZZ_SECONDS. */
const FUZZ_MS = Number(process.env.STREAM_FUZZ_SECONDS ?? 10) * 1000;
/** As on a mount with nosymfollow. */
const limits: StreamLimits = { ...strictStreamLimits, allowParentClones: true };

let receiver: Receiver;
let base: string;
let compressed: Buffer;
const streams = new Map<string, Buffer>();

beforeAll(() => {
  receiver = openReceiver();
  const { mountPath, canaryPaths, parentsPath } = receiver;
  const tree = path.join(mountPath, 'tree');
  sh('btrfs', 'subvolume', 'create', tree);
  writeRichTree(tree, [...canaryPaths, '../canary', '../../../../../../canary', '/']);
  base = snapshotOf(tree, path.join(mountPath, 'base'));
  changeRichTree(tree);
  const next = snapshotOf(tree, path.join(mountPath, 'next'));
  streams.set('full, version 1', sendStream(base));
  streams.set('full, version 2', sendStream(base, '--proto', '2'));
  compressed = sendStream(base, '--proto', '2', '--compressed-data');
  streams.set('of the changed tree', sendStream(next));
  streams.set('incremental, version 1', sendStream(next, '-p', base));
  streams.set('incremental, version 2', sendStream(next, '-p', base, '--proto', '2'));
  const { exitCode, stderr } = receiver.receive(streams.get('full, version 1') ?? Buffer.alloc(0), parentsPath);
  if (exitCode !== 0) throw new Error(stderr);
});

afterAll(() => receiver?.[Symbol.asyncDispose]());
afterEach(() => receiver.empty());

describe('streams of btrfs send', () => {
  it.each([
    'full, version 1',
    'full, version 2',
    'of the changed tree',
    'incremental, version 1',
    'incremental, version 2',
  ])('createStreamValidator: a rich tree, %s, passes in any chunks and is received', async (which) => {
    const stream = streams.get(which) ?? Buffer.alloc(0);
    for (const next of [
      () => 1,
      () => 65536,
      (
        (random) => () =>
          random() ** 4 * 200_000
      )(randomOf(3)),
    ]) {
      const { error, output } = await validate(stream, { limits, next });
      expect(error).toBeUndefined();
      expect(output.equals(stream)).toBe(true);
    }
    const random = randomOf(5);
    const { exitCode, stderr, summary } = await receiver.receiveValid(stream, limits, () => 10 + random() * 9_000);
    expect(exitCode, stderr).toBe(0);
    expect(summary).toMatchObject({ kind: which.startsWith('incr') ? 'incremental' : 'full', bytes: stream.length });
    const received = path.join(receiver.stagingPath, summary?.name ?? '');
    expect(sh('btrfs', 'subvolume', 'show', received)).toContain(`Received UUID: \t\t${summary?.uuid}`);
    expect(receiver.illicit()).toEqual([]);
  });

  it('createStreamValidator: an increment names its parent by the UUID that it was received with', async () => {
    const { summary } = await validate(streams.get('incremental, version 1') ?? Buffer.alloc(0), { limits });
    expect(sh('btrfs', 'subvolume', 'show', base)).toContain(summary?.parentUuid);
  });

  it('F2 createStreamValidator: compressed data of btrfs send is refused, and what passed of it ends in no subvolume', async () => {
    const { error, output } = await validate(compressed, { limits });
    expect(error?.message).toContain('make the stream with btrfs send without --compressed-data');
    expect(receiver.receive(output).exitCode).not.toBe(0);
  });

  it('StreamLimits: a usual increment clones from its parent', async () => {
    const { error } = await validate(streams.get('incremental, version 1') ?? Buffer.alloc(0));
    expect(error?.message).toContain('clones from the parent');
  });
});

describe('hostile streams', () => {
  it('A15 createStreamValidator: what it lets pass of each hostile stream changes nothing outside of staging', async () => {
    const before = receiver.outside();
    const seen = new Set<string>();
    for (const { title, stream } of hostileStreams) {
      const { output, error } = await validate(stream, { next: () => 100 });
      expect(error, title).toBeDefined();
      // Most are refused at the same place: receive would do the same with each of them.
      const passed = commandsOf(output).join();
      if (seen.has(passed)) continue;
      seen.add(passed);
      const { exitCode } = receiver.receive(output);
      expect(exitCode, title).not.toBe(0);
      expect(receiver.illicit(), title).toEqual([]);
      receiver.empty();
    }
    expect(receiver.outside()).toBe(before);
  });

  it('A15 createStreamValidator: without it receive makes setuid files and device nodes', () => {
    const chmod = command('chmod', { path: 'a', mode: 0o4755 });
    const device = command('mknod', { path: 'b', mode: 0o20666, rdev: 0x103 });
    receiver.receive(full(command('mkfile', { path: 'a' }), chmod, device));
    const found = receiver.illicit().join();
    for (const name of ['received/a', 'received/b']) expect(found).toContain(name);
  });

  it('A15 StreamLimits: a clone through a symlink of the parent leaves the chroot of receive, but not on nosymfollow', async () => {
    const leak = async (receiving: Receiver) => {
      const source = path.join(receiving.mountPath, 'source');
      sh('btrfs', 'subvolume', 'create', source);
      // From parents/source up to the directory of the mounts, and down again: receive clones what is on the same filesystem.
      sh('ln', '--symbolic', '../../../mount/canary/secret', path.join(source, 'out'));
      sh('touch', path.join(source, 'taken'));
      const first = snapshotOf(source, path.join(receiving.mountPath, 'first'));
      receiving.receive(sendStream(first), receiving.parentsPath);
      const second = snapshotOf(source, path.join(receiving.mountPath, 'second'));
      const [snapshot = Buffer.alloc(0)] = commandsOf(sendStream(second, '-p', first));
      const uuid = Buffer.from(
        sh('btrfs', 'subvolume', 'show', first)
          .match(/UUID: *\t+(\S+)/)?.[1]
          ?.replaceAll('-', '') ?? '',
        'hex',
      );
      const secretBytes = readFileSync(path.join(receiving.mountPath, 'canary/secret')).length;
      const clone = command('clone', { path: 'taken', clone_path: 'out', clone_uuid: uuid, clone_len: secretBytes });
      const stream = streamOf(1, snapshot, clone, end());
      expect((await validate(stream)).error?.message).toContain('clones from the parent');
      expect((await validate(stream, { limits })).error).toBeUndefined();
      receiving.receive(stream);
      return readFileSync(path.join(receiving.stagingPath, 'second/taken'), 'utf8').slice(0, 10);
    };
    expect(await leak(receiver)).toBe('');
    await using careless = openReceiver('nosuid,nodev,noexec');
    expect(await leak(careless)).toBe('the secret');
  });
});

describe('mutated and random streams', () => {
  it(
    'A15 createStreamValidator: nothing outside of staging changes, and nothing in it gives rights',
    async () => {
      const given = process.env.STREAM_FUZZ_SEED;
      const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
      console.log(`mutated streams with STREAM_FUZZ_SEED=${seed}`);
      const random = randomOf(seed);
      const material = { streams: [...streams.values()], paths: pathsToTry() };
      const before = receiver.outside();
      const count = { streams: 0, refused: 0, received: 0 };
      for (const until = performance.now() + FUZZ_MS; performance.now() < until; count.streams++) {
        const what = `stream ${count.streams} of STREAM_FUZZ_SEED=${seed}`;
        const stream = random() < 0.5 ? mutated(material, random) : randomStream(receiver.canaryPaths, random);
        const { output, error, summary } = await validate(stream, { limits, next: () => 4096 });
        const { exitCode, stderr } = receiver.receive(await adapted(output, summary?.parentUuid));
        if (error !== undefined) count.refused++;
        if (exitCode === 0) count.received++;
        expect(error !== undefined && exitCode === 0, `${what}: received though refused`).toBe(false);
        // NOTE: on nosymfollow each symlink that receive would have followed is an error. Those of a parent are not the stream's.
        if (summary?.kind === 'full') expect(stderr, what).not.toContain('symbolic links');
        expect(receiver.illicit(), what).toEqual([]);
        expect(receiver.outside(), what).toBe(before);
        receiver.empty();
      }
      console.log(`${count.streams} streams, ${count.refused} refused, ${count.received} received`);
      expect(count.streams).toBeGreaterThan(10);
    },
    FUZZ_MS + 60_000,
  );
});

/** As an agent gives it to receive. */
async function adapted(stream: Buffer, parentUuid: string | undefined): Promise<Buffer> {
  if (parentUuid === undefined) return stream;
  const parent = { from: parentUuid, to: parentUuid };
  return await buffer(Readable.from([stream]).pipe(adaptIncrement({ parent, allowSetuid: false })));
}

/** Paths of the real tree, ways out of it, and words that only look like paths. */
function pathsToTry(): string[] {
  const [inside, outside, host] = receiver.canaryPaths;
  const names = sh('find', base, '-printf', '%P\\0')
    .split('\0')
    .map((name) => Buffer.from(name, 'utf8').toString('latin1'));
  const canaries = ['canary/secret', '../canary/secret', '../../canary/secret', '../../../mount/canary/secret'];
  const absolute = [inside, outside, host, '/', '/canary'].map((each) => `${each}/secret`);
  const through = ['out0', 'out1', 'out2', 'out3', 'out4', 'out5'].flatMap((name) => [
    name,
    `${name}/secret`,
    `${name}/x`,
  ]);
  return [...names, ...canaries, ...absolute, ...through, '', '.', '..', 'new', 'a/new', 'new/x', 'a\0/../..', 'fifo'];
}
