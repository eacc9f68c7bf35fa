import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';
import { sameSizes, sizesOf } from './kernel.ts';

const MiB = 2 ** 20;

let lab: Lab;
let snapshots: SnapshotKit;
let importsPath: string;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a', { flags: ['--image-sources=On'] });
  snapshots = snapshotKit(lab);
  importsPath = path.join(lab.rootPath('node-a'), 'imports/default');
  mkdirSync(importsPath, { recursive: true });
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** A Snapshot `NAME-base` of a volume `NAME` with these files. */
async function base(name: string, files: Record<string, Buffer>): Promise<string> {
  await lab.createVolume(name, { nodeName: 'node-a' });
  const dataPath = dataPathOf(await lab.ready(name));
  for (const [file, content] of Object.entries(files)) writeFileSync(path.join(dataPath, file), content);
  await snapshots.create(`${name}-base`, name);
  await snapshots.ready(`${name}-base`);
  return `${name}-base`;
}

const subvolumesOf = ({ status }: LoopbackVolume) =>
  sh('btrfs', 'subvolume', 'list', status.mountPath ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.slice(line.lastIndexOf(' ') + 1));

describe('LoopbackVolume: made of a Snapshot', () => {
  it('C11 LoopbackVolume: has the content of the Snapshot, its own owner, and nothing else', async () => {
    const content = randomBytes(3 * MiB);
    const name = await base('origin', { file: content });
    await lab.createVolume('made', {
      nodeName: 'node-a',
      source: { snapshotRef: { name } },
      owner: { uid: 1000, gid: 1001, mode: '0750' },
    });
    const made = await lab.ready('made');
    expect(readFileSync(path.join(dataPathOf(made), 'file')).equals(content)).toBe(true);
    expect(sh('stat', '--format=%u %g %a', dataPathOf(made)).trim()).toBe('1000 1001 750');
    writeFileSync(path.join(dataPathOf(made), 'more'), 'writable');
    expect(subvolumesOf(made)).toEqual(['.btrfs-operator', 'data']);
    expect(made.status.import).toMatchObject({ phase: 'Done' });
  });

  it('C11 LoopbackVolume: waits with the reason for a Snapshot that is not there, or not committed, and then goes on', async () => {
    await lab.createVolume('early', { nodeName: 'node-a', source: { snapshotRef: { name: 'later' } } });
    const waiting = await lab.withReason('early', 'Ready', 'SourceNotFound');
    expect(waiting.status.filesystemUUID).toBeUndefined();
    await snapshots.create('later', 'origin', { source: { empty: {} }, access: 'ReadWrite' });
    await snapshots.ready('later');
    await lab.withReason('early', 'Ready', 'SourceNotCommitted');
    await snapshots.change('later', { access: 'ReadOnly' });
    await lab.ready('early');
  });

  it('C11 LoopbackVolume: that is too small says about how much is needed; a larger size lets it go on', async () => {
    const name = await base('large', { file: randomBytes(200 * MiB) });
    await lab.createVolume('small', { nodeName: 'node-a', size: '150Mi', source: { snapshotRef: { name } } });
    const small = await lab.withReason('small', 'Ready', 'SourceDoesNotFit', 60_000);
    const message = conditionOf(small, 'Ready')?.message ?? '';
    const needed = Number(/needs about (\d+)Mi/.exec(message)?.[1]);
    expect(needed).toBeGreaterThanOrEqual(200);
    expect(needed).toBeLessThan(300);
    expect(small.status.mountPath).toBeUndefined();
    await lab.change('small', { size: `${Math.max(needed, 256)}Mi` });
    const grown = await lab.ready('small', 60_000);
    expect(sizesOf(grown)).toEqual(sameSizes(Math.max(needed, 256) * MiB));
    expect(readFileSync(path.join(dataPathOf(grown), 'file')).length).toBe(200 * MiB);
  });

  it('A24 LoopbackVolume: made of a received Snapshot, with several subvolumes, minimizes to little more than its data', async () => {
    const name = await base('many', { one: randomBytes(100 * MiB) });
    await lab.createVolume('shrunk', { nodeName: 'node-a', size: '2Gi', source: { snapshotRef: { name } } });
    const volume = await lab.ready('shrunk', 60_000);
    writeFileSync(path.join(dataPathOf(volume), 'two'), randomBytes(50 * MiB));
    await snapshots.create('shrunk-one', 'shrunk');
    await snapshots.ready('shrunk-one');
    await snapshots.create('shrunk-two', 'shrunk', { source: { snapshotRef: { name } } });
    await snapshots.ready('shrunk-two');
    await lab.change('shrunk', { minimize: { headroom: '16Mi' } });
    const minimized = await lab.volumeThat('shrunk', ({ status }) => status.minimized !== undefined, 120_000);
    expect(minimized.status.sizeBytes).toBeLessThan(512 * MiB);
    expect(sizesOf(minimized)).toEqual(sameSizes(minimized.status.sizeBytes ?? 0));
    expect(readFileSync(path.join(dataPathOf(minimized), 'one')).length).toBe(100 * MiB);
  });
});

describe('LoopbackVolume: made of a stream', () => {
  it('A15 LoopbackVolume: a stream fills a new volume', async () => {
    const content = randomBytes(5 * MiB);
    const name = await base('streamed', { file: content });
    const { status } = await snapshots.ready(name);
    sh('btrfs', 'send', '--quiet', '-f', path.join(importsPath, 'good'), status.path ?? '');
    const sha256 = createHash('sha256')
      .update(readFileSync(path.join(importsPath, 'good')))
      .digest('hex');
    await lab.createVolume('from-stream', { nodeName: 'node-a', source: { stream: { file: 'good', sha256 } } });
    const volume = await lab.ready('from-stream');
    expect(readFileSync(path.join(dataPathOf(volume), 'file')).equals(content)).toBe(true);
    expect(subvolumesOf(volume)).toEqual(['.btrfs-operator', 'data']);
  });

  it.each([
    ['StreamRefused', 'cut off', (good: Buffer) => good.subarray(0, good.length - 1000), {}],
    ['StreamRefused', 'no stream at all', () => Buffer.from('something else'), {}],
    ['ChecksumMismatch', 'another than sha256 says', (good: Buffer) => good, { sha256: '0'.repeat(64) }],
    ['FileNotFound', 'not there', () => undefined, {}],
  ] as const)(
    'A15 LoopbackVolume: %s: a stream that is %s leaves no volume behind, and the right one fills it',
    async (reason, what, change, spec) => {
      const good = readFileSync(path.join(importsPath, 'good'));
      const file = what.replaceAll(' ', '-');
      const bad = change(good);
      if (bad !== undefined) writeFileSync(path.join(importsPath, file), bad);
      await lab.createVolume(file, { nodeName: 'node-a', source: { stream: { file, ...spec } } });
      const refused = await lab.withReason(file, 'Ready', reason);
      expect(refused.status.mountPath).toBeUndefined();
      expect(refused.status.filesystemUUID).toBeUndefined();
      if (reason !== 'ChecksumMismatch') {
        writeFileSync(path.join(importsPath, file), good);
        // Any change makes it look again at once.
        await lab.change(file, { label: 'again' });
        await lab.ready(file);
      }
      await lab.remove(file);
      expect(existsSync(refused.status.imagePath ?? '')).toBe(false);
    },
  );
});

describe('LoopbackVolume: made of an image', () => {
  const makeImage = (name: string, sizeMiB: number): { readonly imagePath: string; readonly uuid: string } => {
    const imagePath = path.join(importsPath, name);
    const rootPath = path.join(lab.dir, `content-of-${name}`);
    mkdirSync(path.join(rootPath, 'sub'), { recursive: true });
    writeFileSync(path.join(rootPath, 'file'), 'of the image');
    sh('truncate', `--size=${sizeMiB}M`, imagePath);
    sh('mkfs.btrfs', '--quiet', '--rootdir', rootPath, imagePath);
    return { imagePath, uuid: sh('blkid', '-p', '-s', 'UUID', '-o', 'value', imagePath).trim() };
  };

  it('A15 LoopbackVolume: an image comes in with a UUID of its own, at the size of spec', async () => {
    const { uuid, imagePath } = makeImage('whole.img', 300);
    const before = readFileSync(imagePath).length;
    await lab.createVolume('imaged', { nodeName: 'node-a', source: { image: { file: 'whole.img' } } });
    const volume = await lab.ready('imaged');
    expect(readFileSync(path.join(dataPathOf(volume), 'file'), 'utf8')).toBe('of the image');
    expect(readdirSync(dataPathOf(volume)).toSorted()).toEqual(['file', 'sub']);
    expect(volume.status.filesystemUUID).not.toBe(uuid);
    expect(sizesOf(volume)).toEqual(sameSizes(1024 * MiB));
    expect(before).toBe(300 * MiB);
  });

  it('C11 LoopbackVolume: an image larger than the volume is refused, naming its size', async () => {
    makeImage('too-large.img', 600);
    await lab.createVolume('tight', {
      nodeName: 'node-a',
      size: '300Mi',
      source: { image: { file: 'too-large.img' } },
    });
    const tight = await lab.withReason('tight', 'Ready', 'SourceDoesNotFit');
    expect(conditionOf(tight, 'Ready')?.message).toContain('600Mi');
    await lab.change('tight', { size: '700Mi' });
    expect(sizesOf(await lab.ready('tight'))).toEqual(sameSizes(700 * MiB));
  });

  it.each([
    ['of several devices', (image: Buffer) => image.writeBigUInt64LE(2n, 0x10000 + 0x88)],
    ['cut off', (image: Buffer) => image.writeBigUInt64LE(900n * BigInt(MiB), 0x10000 + 0x70)],
    ['no btrfs', (image: Buffer) => image.fill(0, 0x10000, 0x11000)],
    ['broken', (image: Buffer) => image.fill(7, 0x10000 + 0x2000)],
  ])('A15 LoopbackVolume: an image that is %s is refused, and nothing of it stays attached', async (what, spoil) => {
    const name = `bad-${what.replaceAll(' ', '-')}`;
    const { imagePath } = makeImage(`${name}.img`, 128);
    const bytes = readFileSync(imagePath);
    spoil(bytes);
    writeFileSync(imagePath, bytes);
    await lab.createVolume(name, { nodeName: 'node-a', source: { image: { file: `${name}.img` } } });
    const refused = await lab.withReason(name, 'Ready', 'ImageRefused');
    expect([refused.status.loopDevice, refused.status.mountPath]).toEqual([undefined, undefined]);
    await lab.remove(name);
  });
});
