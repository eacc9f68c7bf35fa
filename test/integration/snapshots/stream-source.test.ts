import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { chunksOf } from '../../builders/chunks.ts';
import { content, redirect } from '../../builders/download-server.ts';
import { command, end, full, streamOf, subvol } from '../../builders/send-stream.ts';
import { dataPathOf } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { fillUp, incrementOn, noise, withChangedByte, withChangedClone } from './bad-streams.ts';
import { conditionOf, pathOf } from './kit.ts';
import { ofFile, ofUrl, type StreamLab, sha256Of, startStreamLab } from './stream-lab.ts';

const MiB = 2 ** 20;
let streams: StreamLab;
let lab: StreamLab['lab'];
let snapshots: StreamLab['snapshots'];
let server: StreamLab['server'];

beforeAll(async () => {
  streams = await startStreamLab();
  ({ lab, snapshots, server } = streams);
});
afterAll(() => streams?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** One more pass over a Snapshot that waits: somebody wants to be made of it. */
async function wake(name: string): Promise<void> {
  const { spec } = await snapshots.that(name, () => true);
  await snapshots.create(`of-${name}`, spec.volumeRef.name, { source: { snapshotRef: { name } } });
  await snapshots.that(name, (snapshot) => conditionOf(snapshot, 'HasChildren') !== undefined);
}

describe('Snapshot: of a send stream', () => {
  it('A15 Snapshot: a stream in a file fills it, and says how', async () => {
    streams.putFile('base.stream', streams.base);
    await snapshots.create('base', 'target', ofFile('base.stream', sha256Of(streams.base)));
    const made = await snapshots.ready('base');
    expect(made.status).toMatchObject({
      receivedUUID: streams.original.status.uuid,
      transfer: { phase: 'Done', bytes: streams.base.length, why: expect.stringContaining('all of it') },
    });
    expect(readFileSync(path.join(pathOf(made), 'big')).equals(Buffer.alloc(8 * MiB, 5))).toBe(true);
    expect(() => writeFileSync(path.join(pathOf(made), 'new'), '')).toThrow('EROFS');
    await streams.expectUsable('target');
  });

  it('A15 Snapshot: an incremental stream goes on what the volume has, and waits while it does not', async () => {
    streams.putFile('increment.stream', streams.increment);
    await lab.createVolume('other', { nodeName: 'node-a' });
    await lab.ready('other');
    await snapshots.create('orphan', 'other', ofFile('increment.stream'));
    const waiting = await snapshots.withReason('orphan', 'Ready', 'ParentMissing');
    expect(conditionOf(waiting, 'Ready')?.message).toContain(
      `${streams.original.status.uuid}, which the volume does not have`,
    );
    expect(conditionOf(waiting, 'Stalled')).toBeUndefined();

    await snapshots.create('next', 'target', ofFile('increment.stream'));
    const next = await snapshots.ready('next');
    expect(next.status).toMatchObject({
      receivedUUID: streams.originalNext.status.uuid,
      transfer: { phase: 'Done', incrementalFrom: streams.original.status.uuid },
    });
    for (const name of ['big', 'small', 'clone']) {
      sh('cmp', path.join(pathOf(next), name), path.join(pathOf(streams.originalNext), name));
    }
    await streams.expectUsable('target');

    await snapshots.create('parent', 'other', ofFile('base.stream'));
    await snapshots.ready('parent');
    await snapshots.change('orphan', { deletionPolicy: 'Retain' }); // it would look again by itself in a while
    await snapshots.ready('orphan');
    await streams.expectUsable('other');
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
    await streams.expectUsable('target');
  });

  it('A15 Snapshot: a stream is downloaded, also where a redirect leads under the list', async () => {
    server.answers.set('/streams/base', redirect('v1/base.stream?token=s3cret'));
    server.answers.set('/streams/v1/base.stream', content(streams.base));
    await snapshots.create('downloaded', 'target', ofUrl(`${server.url}/streams/base`, streams.base));
    const made = await snapshots.ready('downloaded');
    expect(made.status).toMatchObject({
      receivedUUID: streams.original.status.uuid,
      transfer: { bytes: streams.base.length },
    });
    sh('cmp', path.join(pathOf(made), 'big'), path.join(pathOf(streams.original), 'big'));
  });
});

describe('Snapshot: of a bad stream', () => {
  it('A15 Snapshot: a file that is missing, or a symlink, is waited for', async () => {
    symlinkSync('base.stream', path.join(streams.importsPath, 'link.stream'));
    await snapshots.create('late', 'target', ofFile('late.stream'));
    await snapshots.create('link', 'target', ofFile('link.stream'));
    await streams.expectRefused('late', 'FileNotFound', /imports\/default\/late\.stream on the node; put it there$/);
    await streams.expectRefused('link', 'FileNotFound', /link\.stream is, or lies behind, a symlink/);
    streams.putFile('late.stream', streams.base);
    await snapshots.ready('late', 30_000);
    await snapshots.remove('link');
    rmSync(path.join(streams.importsPath, 'link.stream'));
  });

  it('A15 Snapshot: a wrong sha256 is found at the end, and named', async () => {
    streams.putFile('changed.stream', streams.base);
    const wanted = sha256Of(streams.increment);
    await snapshots.create('changed', 'target', ofFile('changed.stream', wanted));
    await streams.expectRefused(
      'changed',
      'ChecksumMismatch',
      new RegExp(`sha256 ${sha256Of(streams.base)}, and the spec says ${wanted}`),
    );
    expect(conditionOf(await snapshots.that('changed', () => true), 'Stalled')?.status).toBe('True');

    server.answers.set('/streams/changed', content(streams.base));
    await snapshots.create('changed-url', 'target', ofUrl(`${server.url}/streams/changed`, streams.increment));
    await streams.expectRefused('changed-url', 'ChecksumMismatch', /^the content of the url has sha256/);
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
    ['cut', () => streams.base.subarray(0, 4 * MiB), /without an end marker/],
    ['trailing', () => Buffer.concat([streams.base, streams.base]), /data after the end marker/],
    ['changed-byte', () => withChangedByte(streams.base), /btrfs receive says: .*crc32/],
    [
      'second-command',
      () => full(command('rename', { path: 'missing', path_to: 'x' })),
      /btrfs receive says: .*missing/,
    ],
    [
      'increment',
      () => incrementOn(streams.original.status.uuid, command('mknod', { path: 'device', mode: 0o20644, rdev: 0x801 })),
      /makes the device/,
    ],
    ['changed-clone', () => withChangedClone(streams.increment), /btrfs receive says: .*crc32/],
    ['taken-name', () => streamOf(1, subvol({ path: '.made' }), end()), /is called \.made, which is taken/],
  ])(
    'A15 Snapshot: a stream that is bad (%s) is refused with what is wrong, and leaves nothing',
    async (name, make, message) => {
      streams.putFile(`${name}.stream`, make());
      await snapshots.create(`bad-${name}`, 'target', ofFile(`${name}.stream`));
      await streams.expectRefused(`bad-${name}`, 'StreamRefused', message);
      await snapshots.remove(`bad-${name}`);
    },
  );

  it('A15 Snapshot: what the configuration does not allow is not downloaded, what fails is tried again', async () => {
    const url = (suffix: string) => ofUrl(`${server.url}/${suffix}`, streams.base);
    server.answers.set('/streams/away', redirect('/secret'));
    server.answers.set(
      '/streams/large',
      (_request, response) => void response.writeHead(200, { 'content-length': 65 * MiB }).flushHeaders(),
    );
    server.answers.set('/streams/cut', (_request, response) => {
      response
        .writeHead(200, { 'content-length': streams.base.length })
        .write(streams.base.subarray(0, MiB), () => response.destroy());
    });
    await snapshots.create('off-list', 'target', url('secret?token=s3cret'));
    await snapshots.create('away', 'target', url('streams/away'));
    await snapshots.create('large', 'target', url('streams/large'));
    await snapshots.create('cut', 'target', url('streams/cut'));
    await streams.expectRefused('off-list', 'DownloadRefused', /\/secret is under none.*--download-allowed-prefixes/);
    await streams.expectRefused('away', 'DownloadRefused', /\/secret is under none.*\/streams\/away redirects there$/);
    await streams.expectRefused('large', 'DownloadRefused', /larger than 67108864 bytes/);
    await streams.expectRefused('cut', 'DownloadFailed', /the connection was cut before the end/);
    server.answers.set('/streams/cut', content(streams.base));
    await snapshots.ready('cut', 30_000);
    expect(server.requests.filter((request) => request.includes('secret'))).toEqual([]);
  });

  it('A15 Snapshot: a stream that the volume has no room for is told from a bad one', async () => {
    streams.putFile('noise.stream', full(command('mkfile', { path: 'noise' }), ...noise(24 * MiB)));
    await lab.createVolume('small', { nodeName: 'node-a', size: '109Mi' });
    const fillings = fillUp(dataPathOf(await lab.ready('small')));
    await snapshots.create('too-large', 'small', ofFile('noise.stream'));
    const refused = await snapshots.withReason('too-large', 'Ready', 'OutOfSpace', 30_000);
    expect(conditionOf(refused, 'Ready')?.message).toContain('raise its size');
    for (const filling of fillings) rmSync(filling, { force: true });
    await snapshots.change('too-large', { deletionPolicy: 'Retain' });
    await snapshots.ready('too-large', 30_000);
    await streams.expectUsable('small');
  });

  it.each([
    ['bad', () => full(command('mkfile', { path: '../../escaped' })), 'StreamRefused'],
    ['without-parent', () => streams.increment, 'ParentMissing'],
  ])(
    'F9 Snapshot: a download that was refused (%s) is fetched again only when asked for',
    async (name, make, reason) => {
      await lab.createVolume(`of-${name}`, { nodeName: 'node-a' });
      await lab.ready(`of-${name}`);
      const bytes = make();
      server.answers.set(`/streams/${name}`, content(bytes));
      const fetches = () => server.requests.filter((request) => request.includes(`/streams/${name} `)).length;
      await snapshots.create(name, `of-${name}`, ofUrl(`${server.url}/streams/${name}`, bytes));
      await snapshots.withReason(name, 'Ready', reason);
      await wake(name);
      expect(fetches()).toBe(1);
      await snapshots.client.patch(`default/${name}`, { metadata: { labels: { again: 'now' } } }, { type: 'merge' });
      await expect.poll(fetches).toBe(2);
    },
  );

  it('F9 Snapshot: what did not fit is fetched again when there is room, not before', async () => {
    const noisy = full(command('mkfile', { path: 'noise' }), ...noise(24 * MiB));
    server.answers.set('/streams/noise', content(noisy));
    const fetches = () => server.requests.filter((request) => request.includes('/streams/noise ')).length;
    await lab.createVolume('tight', { nodeName: 'node-a', size: '109Mi' });
    const fillings = fillUp(dataPathOf(await lab.ready('tight')));
    await snapshots.create('noise', 'tight', ofUrl(`${server.url}/streams/noise`, noisy));
    await snapshots.withReason('noise', 'Ready', 'OutOfSpace', 30_000);
    await wake('noise');
    expect(fetches()).toBe(1);
    for (const filling of fillings) rmSync(filling, { force: true });
    sh('btrfs', 'filesystem', 'sync', dataPathOf(await lab.ready('tight')));
    await snapshots.remove('of-noise');
    await snapshots.ready('noise', 30_000);
    expect(fetches()).toBe(2);
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
      response.writeHead(200, { 'content-length': streams.base.length });
      const pieces = chunksOf(streams.base, () => 50_000);
      const timer = setInterval(() => response.write(pieces.next().value ?? ''), 100);
      response.once('close', () => clearInterval(timer));
    });
    await snapshots.create('slow', 'target', ofUrl(`${server.url}/streams/slow`, streams.base));
    const slow = await snapshots.that('slow', ({ status }) => status.transfer?.phase === 'Receiving');
    expect(conditionOf(slow, 'Ready')).toMatchObject({ status: 'False', reason: 'Transferring' });
    await snapshots.remove('slow');
    await streams.expectUsable('target');
  });
});
