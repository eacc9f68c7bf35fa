import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { commandsSince, orderOf } from './commands.ts';
import { mountAt, usedBytesOf } from './kernel.ts';

const MiB = 2 ** 20;

let lab: Lab;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

async function create(name: string, spec: Record<string, unknown> = {}): Promise<LoopbackVolume> {
  await lab.createVolume(name, spec);
  return await lab.ready(name);
}

const optionsOf = (volume: LoopbackVolume) => mountAt(volume.status.mountPath ?? '')?.options ?? [];
const labelOf = ({ status }: LoopbackVolume) => sh('btrfs', 'filesystem', 'label', status.mountPath ?? '');

describe('LoopbackVolume: the image', () => {
  it('A2 LoopbackVolume: the image is sparse: its size is status.sizeBytes, the node gives a small part of it', async () => {
    const { status } = await create('sparse');
    const image = statSync(status.imagePath ?? '');
    expect([image.size, status.sizeBytes]).toEqual([2 ** 30, 2 ** 30]);
    expect(image.blocks * 512).toBeLessThan(16 * MiB);
    expect(Math.abs((status.hostBytes ?? 0) - image.blocks * 512)).toBeLessThan(0.01 * 2 ** 30);
  });

  it('A3 LoopbackVolume: a size between sectors is rounded up, spec stays, an Event says so', async () => {
    const volume = await create('odd', { size: 300 * MiB + 1 });
    expect(volume.status.sizeBytes).toBe(300 * MiB + 4096);
    expect(volume.spec.size).toBe(300 * MiB + 1);
    const { note } = await lab.event(volume, 'SizeRounded');
    expect(note).toContain(`${300 * MiB + 1}`);
    expect(note).toContain(`${300 * MiB + 4096}`);
  });

  it('A3 LoopbackVolume: a later size between sectors is rounded up and said as well', async () => {
    await create('odd-later', { size: '300Mi' });
    await lab.change('odd-later', { size: 310 * MiB - 1 });
    const volume = await lab.ready('odd-later');
    expect(volume.status.sizeBytes).toBe(310 * MiB);
    expect((await lab.event(volume, 'SizeRounded')).note).toContain(`${310 * MiB - 1}`);
  });

  it('A3 LoopbackVolume: a size on a sector is no Event', async () => {
    const volume = await create('even', { size: '128Mi' });
    await lab.event(volume, 'Created');
    expect((await lab.eventsOf(volume)).filter(({ reason }) => reason === 'SizeRounded')).toEqual([]);
  });
});

describe('LoopbackVolume: the format', () => {
  it.each([
    ['single', {}],
    ['DUP', { metadataProfile: 'dup' }],
  ])('A4 LoopbackVolume: metadata is %s with spec %j', async (profile, spec) => {
    const { status } = await create(`metadata-${profile.toLowerCase()}`, spec);
    const allocation = sh('btrfs', 'filesystem', 'df', status.mountPath ?? '');
    expect(/^Metadata, (\w+):/m.exec(allocation)?.[1]).toBe(profile);
  });

  it('A4 LoopbackVolume: the label is what btrfs prints, and follows spec without a remount', async () => {
    const before = await create('labelled', { label: 'Bücher -x $(id)' });
    expect(labelOf(before)).toBe('Bücher -x $(id)');
    const mountId = mountAt(before.status.mountPath ?? '')?.id;
    await lab.change('labelled', { label: 'other' });
    const after = await lab.ready('labelled');
    expect(labelOf(after)).toBe('other');
    expect(mountAt(after.status.mountPath ?? '')?.id).toBe(mountId);
    await lab.change('labelled', { label: null });
    expect(labelOf(await lab.ready('labelled'))).toBe('');
  });

  it('A10 LoopbackVolume: sector size and direct I/O are given at attach, before mkfs and mount', async () => {
    const { status, metadata } = await create('sectors');
    const device = status.loopDevice ?? '';
    expect(Number(sh('blockdev', '--getss', device))).toBe(4096);
    expect(readFileSync(`/sys/block/${path.basename(device)}/loop/dio`, 'utf8')).toBe('1\n');
    expect([status.sectorSize, status.directIO]).toEqual([4096, true]);
    const own = commandsSince(agent, 0).filter((line) => line.includes(metadata.uid) || line.includes(`${device}`));
    const attach = /^losetup --find --show --sector-size=4096 --direct-io=on -- /;
    const order = orderOf(own.slice(own.findLastIndex((line) => attach.test(line))), [
      attach,
      /^mkfs\.btrfs /,
      /^mount /,
    ]);
    expect(order).toEqual([0, expect.toSatisfy((at) => at > 0), expect.toSatisfy((at) => at > 0)]);
  });

  it('LoopbackVolume: the top directory of data/ has the owner and mode of spec, also when they change', async () => {
    const ownerOf = (volume: LoopbackVolume) => sh('stat', '--format=%u %g %a', dataPathOf(volume));
    expect(ownerOf(await create('owned', { owner: { uid: 1000, gid: 1001, mode: '0750' } }))).toBe('1000 1001 750');
    await lab.change('owned', { owner: { uid: 7, gid: 0, mode: '777' } });
    expect(ownerOf(await lab.ready('owned'))).toBe('7 0 777');
  });
});

describe('LoopbackVolume: mount options', () => {
  const discards = [
    ['Async', 'discard=async'],
    ['Sync', 'discard'],
    ['Off', undefined],
  ] as const;

  it.each(discards)(
    'A7 LoopbackVolume: discard %s is %s in the kernel and in status, with noatime',
    async (discard, option) => {
      const volume = await create(`discard-${discard.toLowerCase()}`, { discard });
      const options = optionsOf(volume);
      expect(options).toEqual(expect.arrayContaining(['rw', 'noatime', 'nosuid', 'nodev']));
      expect(options.find((candidate) => candidate.startsWith('discard'))).toBe(option);
      expect(options).not.toContain('nobarrier');
      expect(volume.status.mountOptions?.toSorted()).toEqual([...options].sort());
    },
  );

  it('A7 LoopbackVolume: nobarrier only with durability Disposable, changed without a remount of its own', async () => {
    const before = await create('disposable', { durability: 'Disposable' });
    expect(optionsOf(before)).toContain('nobarrier');
    expect(before.status.mountOptions).toContain('nobarrier');
    await lab.change('disposable', { durability: 'Full', discard: 'Sync' });
    const after = await lab.ready('disposable');
    expect(optionsOf(after)).not.toContain('nobarrier');
    expect(optionsOf(after)).toContain('discard');
    expect(mountAt(after.status.mountPath ?? '')?.id).toBe(mountAt(before.status.mountPath ?? '')?.id);
  });

  it.each([
    ['zstd:19', 'compress=zstd:15', 'zstd:15'],
    ['zlib:9', 'compress=zlib:9', 'zlib:9'],
    ['lzo', 'compress=lzo', 'lzo'],
    ['none', undefined, 'none'],
  ])(
    'A8 LoopbackVolume: compression %s is %s in the kernel and %s in status',
    async (compression, option, effective) => {
      const volume = await create(`compression-${compression.replace(':', '-')}`, { compression });
      expect(optionsOf(volume).find((candidate) => candidate.startsWith('compress'))).toBe(option);
      expect([volume.spec.compression, volume.status.compression]).toEqual([compression, effective]);
    },
  );

  it('A8 LoopbackVolume: compression follows spec without a remount of its own', async () => {
    const before = await create('compression-later', { compression: 'zstd:3' });
    await lab.change('compression-later', { compression: 'none' });
    const after = await lab.ready('compression-later');
    expect([optionsOf(after).filter((option) => option.startsWith('compress')), after.status.compression]).toEqual([
      [],
      'none',
    ]);
    expect(mountAt(after.status.mountPath ?? '')?.id).toBe(mountAt(before.status.mountPath ?? '')?.id);
  });
});

describe('LoopbackVolume: status', () => {
  it('A9 LoopbackVolume: every field of status is what the kernel says', async () => {
    const { status, metadata } = await create('told', { label: 'told', nodeName: 'node-a' });
    const mount = mountAt(status.mountPath ?? '');
    const shown = sh('btrfs', 'filesystem', 'show', status.mountPath ?? '');
    const rootPath = lab.rootPath('node-a');
    expect(status).toMatchObject({
      observedGeneration: metadata.generation,
      nodeName: 'node-a',
      sizeBytes: statSync(status.imagePath ?? '').size,
      filesystemUUID: /uuid: (\S+)/.exec(shown)?.[1],
      loopDevice: mount?.source,
      imagePath: path.join(rootPath, 'images', `${metadata.uid}.img`),
      mountPath: path.join(rootPath, 'volumes', metadata.uid),
      compression: 'zstd:3',
    });
    expect(readFileSync(`/sys/block/${path.basename(status.loopDevice ?? '')}/loop/backing_file`, 'utf8').trim()).toBe(
      status.imagePath,
    );
    expect(status.mountOptions?.toSorted()).toEqual(mount?.options.toSorted());
    expect([status.minimized, status.progress]).toEqual([undefined, undefined]);
  });

  it('LoopbackVolume: usedBytes, freeBytes and hostBytes follow what is written', async () => {
    const empty = await create('filled', { compression: 'none' });
    const file = path.join(dataPathOf(empty), 'data');
    sh('dd', 'if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=100', 'conv=fsync', 'status=none');
    const { status } = await lab.volumeThat('filled', ({ status: { usedBytes = 0 } }) => usedBytes >= 100 * MiB);
    const near = 0.011 * 2 ** 30;
    expect(Math.abs((status.usedBytes ?? 0) - usedBytesOf(status.mountPath ?? ''))).toBeLessThan(near);
    expect((empty.status.freeBytes ?? 0) - (status.freeBytes ?? 0)).toBeGreaterThan(100 * MiB - near);
    expect((status.freeBytes ?? 0) + (status.usedBytes ?? 0)).toBeLessThanOrEqual(2 ** 30);
    await lab.volumeThat('filled', ({ status: { hostBytes = 0, imagePath = '' } }) => {
      return hostBytes >= 100 * MiB && Math.abs(hostBytes - statSync(imagePath).blocks * 512) < near;
    });
  });
});
