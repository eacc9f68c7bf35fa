import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import { chunksOf } from '../../builders/chunks.ts';
import { content, type DownloadServer, redirect, startDownloadServer } from '../../builders/download-server.ts';
import { command, end, full, streamOf, subvol } from '../../builders/send-stream.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { fillUp, incrementOn, noise, withChangedByte, withChangedClone } from './bad-streams.ts';
import { conditionOf, pathOf, type SnapshotKit, snapshotKit } from './kit.ts';
import { expectTreeToMatch } from './on-disk.ts';

const MiB = 2 ** 20;
let lab: Lab;
let snapshots: SnapshotKit;
let server: DownloadServer;
/** Streams of two states of a subvolume, the second one as the difference to the first. */
let base: Buffer;
let increment: Buffer;
let original: Snapshot;
let originalNext: Snapshot;

const importsPath = () => path.join(lab.rootPath('node-a'), 'imports/default');
const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const putFile = (name: string, bytes: Buffer) => writeFileSync(path.join(importsPath(), name), bytes);
const ofFile = (file: string, sha256?: string) => ({
  source: { stream: { file, ...(sha256 === undefined ? {} : { sha256 }) } },
});
const ofUrl = (url: string, bytes: Buffer) => ({ source: { stream: { url, sha256: sha256Of(bytes) } } });

beforeAll(async () => {
  lab = await startLab();
  server = await startDownloadServer();
  const caFile = path.join(lab.dir, 'ca.pem');
  writeFileSync(caFile, server.caPem);
  await lab.startAgent('node-a', {
    flags: [
      `--download-allowed-prefixes=${server.url}/streams`,
      `--download-ca-file=${caFile}`,
      '--download-allow-private-addresses=On',
      `--download-max-bytes=${64 * MiB}`,
      '--download-idle-seconds=10',
    ],
  });
  snapshots = snapshotKit(lab);
  mkdirSync(importsPath());
  await makeStreams();
  await lab.createVolume('target', { nodeName: 'node-a' });
  await lab.ready('target');
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});
beforeEach(() => lab.showLogsOnFailure());

async function makeStreams(): Promise<void> {
  await lab.createVolume('origin', { nodeName: 'node-a' });
  const dataPath = dataPathOf(await lab.ready('origin'));
  writeFileSync(path.join(dataPath, 'big'), Buffer.alloc(8 * MiB, 5));
  await snapshots.create('original', 'origin');
  original = await snapshots.ready('original');
  writeFileSync(path.join(dataPath, 'small'), 'difference');
  sh('cp', '--reflink=always', path.join(dataPath, 'big'), path.join(dataPath, 'clone'));
  await snapshots.create('original-next', 'origin');
  originalNext = await snapshots.ready('original-next');
  const file = path.join(lab.dir, 'stream');
  sh('btrfs', 'send', '--quiet', '-f', file, pathOf(original));
  base = readFileSync(file);
  sh('btrfs', 'send', '--quiet', '-p', pathOf(original), '-f', file, pathOf(originalNext));
  increment = readFileSync(file);
}

let probes = 0;

/** Nothing is left but whole Snapshots, and the volume takes one more. What waits is tried again meanwhile. */
async function expectUsable(volume: string): Promise<void> {
  const name = `probe-${++probes}`;
  await snapshots.create(name, volume);
  await snapshots.ready(name);
  const expectMatch = async () => {
    const all = await snapshots.client.list();
    const made = all.filter(({ spec, status }) => spec.volumeRef.name === volume && status.path !== undefined);
    expectTreeToMatch(await lab.ready(volume), made);
  };
  await expect
    .poll(() => expectMatch().then(() => 'as it should be', String), { timeout: 10_000 })
    .toBe('as it should be');
}

async function expectRefused(name: string, reason: string, message: string | RegExp): Promise<void> {
  const refused = await snapshots.withReason(name, 'Ready', reason);
  expect(conditionOf(refused, 'Ready')).toMatchObject({ status: 'False', message: expect.stringMatching(message) });
  expect(refused.status.path).toBeUndefined();
  expect(refused.status.uuid).toBeUndefined();
  await expectUsable('target');
}

describe('Snapshot: of a send stream', () => {
  it('A15 Snapshot: a stream in a file fills it, and says how', async () => {
    putFile('base.stream', base);
    await snapshots.create('base', 'target', ofFile('base.stream', sha256Of(base)));
    const made = await snapshots.ready('base');
    expect(made.status).toMatchObject({
      receivedUUID: original.status.uuid,
      transfer: { phase: 'Done', bytes: base.length, why: expect.stringContaining('all of it') },
    });
    expect(readFileSync(path.join(pathOf(made), 'big')).equals(Buffer.alloc(8 * MiB, 5))).toBe(true);
    expect(() => writeFileSync(path.join(pathOf(made), 'new'), '')).toThrow('EROFS');
    await expectUsable('target');
  });

  it('A15 Snapshot: an incremental stream goes on what the volume has, and waits while it does not', async () => {
    putFile('increment.stream', increment);
    await lab.createVolume('other', { nodeName: 'node-a' });
    await lab.ready('other');
    await snapshots.create('orphan', 'other', ofFile('increment.stream'));
    const waiting = await snapshots.withReason('orphan', 'Ready', 'ParentMissing');
    expect(conditionOf(waiting, 'Ready')?.message).toContain(`${original.status.uuid}, which the volume does not have`);
    expect(conditionOf(waiting, 'Stalled')).toBeUndefined();

    await snapshots.create('next', 'target', ofFile('increment.stream'));
    const next = await snapshots.ready('next');
    expect(next.status).toMatchObject({
      receivedUUID: originalNext.status.uuid,
      transfer: { phase: 'Done', incrementalFrom: original.status.uuid },
    });
    for (const name of ['big', 'small', 'clone']) {
      sh('cmp', path.join(pathOf(next), name), path.join(pathOf(originalNext), name));
    }
    await expectUsable('target');

    await snapshots.create('parent', 'other', ofFile('base.stream'));
    await snapshots.ready('parent');
    await snapshots.change('orphan', { deletionPolicy: 'Retain' }); // it would look again by itself in a while
    await snapshots.ready('orphan');
    await expectUsable('other');
  });

  it('A15 Snapshot: the same stream again, writable and given away, is another subvolume', async () => {
    await snapshots.create('again', 'target', {
      ...ofFile('increment.stream'),
      access: 'ReadWrite',
      owner: { uid: 1000, gid: 1000, mode: '0750' },
    });
    const again = await snapshots.ready('again');
    writeFileSync(path.join(pathOf(again), 'small'), 'mine');
    expect(again.status.receivedUUID).toBeUndefined();
    await expectUsable('target');
  });

  it('A15 Snapshot: a stream is downloaded, also where a redirect leads under the list', async () => {
    server.answers.set('/streams/base', redirect('v1/base.stream?token=s3cret'));
    server.answers.set('/streams/v1/base.stream', content(base));
    await snapshots.create('downloaded', 'target', ofUrl(`${server.url}/streams/base`, base));
    const made = await snapshots.ready('downloaded');
    expect(made.status).toMatchObject({ receivedUUID: original.status.uuid, transfer: { bytes: base.length } });
    sh('cmp', path.join(pathOf(made), 'big'), path.join(pathOf(original), 'big'));
  });
});

describe('Snapshot: of a bad stream', () => {
  it('A15 Snapshot: a file that is missing, or a symlink, is waited for', async () => {
    symlinkSync('base.stream', path.join(importsPath(), 'link.stream'));
    await snapshots.create('late', 'target', ofFile('late.stream'));
    await snapshots.create('link', 'target', ofFile('link.stream'));
    await expectRefused('late', 'FileNotFound', /imports\/default\/late\.stream on the node; put it there$/);
    await expectRefused('link', 'FileNotFound', /link\.stream is, or lies behind, a symlink/);
    putFile('late.stream', base);
    await snapshots.ready('late', 30_000);
    await snapshots.remove('link');
    rmSync(path.join(importsPath(), 'link.stream'));
  });

  it('A15 Snapshot: a wrong sha256 is found at the end, and named', async () => {
    putFile('changed.stream', base);
    const wanted = sha256Of(increment);
    await snapshots.create('changed', 'target', ofFile('changed.stream', wanted));
    await expectRefused(
      'changed',
      'ChecksumMismatch',
      new RegExp(`sha256 ${sha256Of(base)}, and the spec says ${wanted}`),
    );
    expect(conditionOf(await snapshots.that('changed', () => true), 'Stalled')?.status).toBe('True');

    server.answers.set('/streams/changed', content(base));
    await snapshots.create('changed-url', 'target', ofUrl(`${server.url}/streams/changed`, increment));
    await expectRefused('changed-url', 'ChecksumMismatch', /^the content of the url has sha256/);
  });

  it.each([
    [
      'device',
      () => full(command('mknod', { path: 'device', mode: 0o20644, rdev: 0x801 })),
      /makes the device node "device"/,
    ],
    ['setuid', () => full(command('mkfile', { path: 'sh' }), command('chmod', { path: 'sh', mode: 0o4755 })), /setuid/],
    ['outside', () => full(command('mkfile', { path: '../../escaped' })), /escaped/],
    [
      'through',
      () => full(command('symlink', { path: 's', path_link: '/etc' }), command('mkfile', { path: 's/passwd' })),
      /"s\/passwd" goes through "s"/,
    ],
    ['text', () => Buffer.from('this is no stream, but text that is long enough'), /it is no btrfs send stream/],
    ['empty', () => Buffer.alloc(0), /without an end marker/],
    ['cut', () => base.subarray(0, 4 * MiB), /without an end marker/],
    ['trailing', () => Buffer.concat([base, base]), /data after the end marker/],
    ['changed-byte', () => withChangedByte(base), /btrfs receive says: .*crc32/],
    [
      'second-command',
      () => full(command('rename', { path: 'missing', path_to: 'x' })),
      /btrfs receive says: .*missing/,
    ],
    [
      'increment',
      () => incrementOn(original.status.uuid, command('mknod', { path: 'device', mode: 0o20644, rdev: 0x801 })),
      /makes the device/,
    ],
    ['changed-clone', () => withChangedClone(increment), /btrfs receive says: .*crc32/],
    ['taken-name', () => streamOf(1, subvol({ path: '.made' }), end()), /is called \.made, which is taken/],
  ])(
    'A15 Snapshot: a stream that is bad (%s) is refused with what is wrong, and leaves nothing',
    async (name, make, message) => {
      putFile(`${name}.stream`, make());
      await snapshots.create(`bad-${name}`, 'target', ofFile(`${name}.stream`));
      await expectRefused(`bad-${name}`, 'StreamRefused', message);
      await snapshots.remove(`bad-${name}`);
    },
  );

  it('A15 Snapshot: what the configuration does not allow is not downloaded, what fails is tried again', async () => {
    const url = (suffix: string) => ofUrl(`${server.url}/${suffix}`, base);
    server.answers.set('/streams/away', redirect('/secret'));
    server.answers.set(
      '/streams/large',
      (_request, response) => void response.writeHead(200, { 'content-length': 65 * MiB }).flushHeaders(),
    );
    server.answers.set('/streams/cut', (_request, response) => {
      response.writeHead(200, { 'content-length': base.length }).write(base.subarray(0, MiB), () => response.destroy());
    });
    await snapshots.create('off-list', 'target', url('secret?token=s3cret'));
    await snapshots.create('away', 'target', url('streams/away'));
    await snapshots.create('large', 'target', url('streams/large'));
    await snapshots.create('cut', 'target', url('streams/cut'));
    await expectRefused('off-list', 'DownloadRefused', /\/secret is under none.*--download-allowed-prefixes/);
    await expectRefused('away', 'DownloadRefused', /\/secret is under none.*\/streams\/away redirects there$/);
    await expectRefused('large', 'DownloadRefused', /larger than 67108864 bytes/);
    await expectRefused('cut', 'DownloadFailed', /the connection was cut before the end/);
    server.answers.set('/streams/cut', content(base));
    await snapshots.ready('cut', 30_000);
    expect(server.requests.filter((request) => request.includes('secret'))).toEqual([]);
  });

  it('A15 Snapshot: a stream that the volume has no room for is told from a bad one', async () => {
    putFile('noise.stream', full(command('mkfile', { path: 'noise' }), ...noise(24 * MiB)));
    await lab.createVolume('small', { nodeName: 'node-a', size: '109Mi' });
    const fillings = fillUp(dataPathOf(await lab.ready('small')));
    await snapshots.create('too-large', 'small', ofFile('noise.stream'));
    const refused = await snapshots.withReason('too-large', 'Ready', 'OutOfSpace', 30_000);
    expect(conditionOf(refused, 'Ready')?.message).toContain('raise its size');
    for (const filling of fillings) rmSync(filling, { force: true });
    await snapshots.change('too-large', { deletionPolicy: 'Retain' });
    await snapshots.ready('too-large', 30_000);
    await expectUsable('small');
  });

  it('A15 Snapshot: device nodes and setuid files come in where the configuration allows them', async () => {
    await lab.startAgent('node-b', { flags: ['--stream-allow-device-nodes=On', '--stream-allow-setuid=On'] });
    const directory = path.join(lab.rootPath('node-b'), 'imports/default');
    mkdirSync(directory);
    const stream = full(
      command('mknod', { path: 'device', mode: 0o20644, rdev: 0x103 }),
      command('chmod', { path: 'device', mode: 0o644 }),
      command('mkfile', { path: 'sh' }),
      command('chmod', { path: 'sh', mode: 0o4755 }),
    );
    writeFileSync(path.join(directory, 'root.stream'), stream);
    await lab.createVolume('lenient', { nodeName: 'node-b' });
    await lab.ready('lenient');
    await snapshots.create('root', 'lenient', ofFile('root.stream', sha256Of(stream)));
    const made = await snapshots.ready('root');
    expect(sh('stat', '--format=%F %a', path.join(pathOf(made), 'device'), path.join(pathOf(made), 'sh'))).toBe(
      'character special file 644\nregular empty file 4755',
    );
  });

  it('A15 Snapshot: one that is deleted while it is downloaded leaves nothing', async () => {
    server.answers.set('/streams/slow', (_request, response) => {
      response.writeHead(200, { 'content-length': base.length });
      const pieces = chunksOf(base, () => 50_000);
      const timer = setInterval(() => response.write(pieces.next().value ?? ''), 100);
      response.once('close', () => clearInterval(timer));
    });
    await snapshots.create('slow', 'target', ofUrl(`${server.url}/streams/slow`, base));
    const slow = await snapshots.that('slow', ({ status }) => status.transfer?.phase === 'Receiving');
    expect(conditionOf(slow, 'Ready')).toMatchObject({ status: 'False', reason: 'Transferring' });
    await snapshots.remove('slow');
    await expectUsable('target');
  });
});
