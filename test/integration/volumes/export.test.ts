import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';

const MiB = 2 ** 20;

let lab: Lab;
let snapshots: SnapshotKit;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a', { flags: ['--image-sources=On'] });
  snapshots = snapshotKit(lab);
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const isExported = (volume: LoopbackVolume) =>
  conditionOf(volume, 'Exported')?.status === 'True' && conditionOf(volume, 'Ready')?.status === 'True';

/** What somebody finds who mounts a copy of the file, as any btrfs is mounted. */
function lookInto(
  file: string,
  name: string,
): { readonly names: string[]; readonly uuid: string; readonly left: string } {
  const [copyPath, mountPath] = [path.join(lab.dir, `${name}.img`), path.join(lab.dir, name)];
  sh('cp', '--sparse=always', file, copyPath);
  mkdirSync(mountPath);
  sh('mount', '--types', 'btrfs', '--options', 'loop', copyPath, mountPath);
  try {
    const names = readdirSync(mountPath).toSorted();
    const uuid = sh('findmnt', '--noheadings', '--output', 'UUID', mountPath).trim();
    const left = sh('findmnt', '--noheadings', '--output', 'FSROOT', mountPath).trim();
    return { names, uuid, left };
  } finally {
    sh('umount', mountPath);
  }
}

async function base(name: string): Promise<Buffer> {
  const content = randomBytes(20 * MiB);
  await lab.createVolume(name, { nodeName: 'node-a' });
  writeFileSync(path.join(dataPathOf(await lab.ready(name)), 'file'), content);
  await snapshots.create(`${name}-base`, name);
  await snapshots.ready(`${name}-base`);
  return content;
}

describe('LoopbackVolume: export', () => {
  it('A24 LoopbackVolume: a golden image is filled, minimized, unmounted and exported by one object; its default subvolume is the data', async () => {
    const content = await base('origin');
    await lab.createVolume('golden', {
      nodeName: 'node-a',
      size: '2Gi',
      source: { snapshotRef: { name: 'origin-base' } },
      minimize: { headroom: '0' },
      mounted: false,
      export: { file: 'golden.img' },
    });
    const golden = await lab.volumeThat('golden', isExported, 60_000);
    expect(golden.status.minimized?.sizeBytes).toBe(256 * MiB);
    expect(golden.status.mountPath).toBeUndefined();
    const { file = '', sizeBytes, sha256, filesystemUUID } = golden.status.export ?? {};
    expect(statSync(file).size).toBe(256 * MiB);
    expect(sizeBytes).toBe(256 * MiB);
    expect(sh('sha256sum', file).split(' ')[0]).toBe(sha256);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const seen = lookInto(file, 'golden');
    expect(seen).toEqual({ names: ['file'], uuid: filesystemUUID, left: '/.btrfs-operator/data' });
    expect(filesystemUUID).not.toBe(golden.status.filesystemUUID);
    expect(content.length).toBe(20 * MiB);
  });

  it('A15 LoopbackVolume: an exported image makes a volume like the first', async () => {
    const { status } = await lab.volumeThat('golden', isExported);
    const importsPath = path.join(lab.rootPath('node-a'), 'imports/default');
    mkdirSync(importsPath, { recursive: true });
    sh('cp', status.export?.file ?? '', path.join(importsPath, 'golden.img'));
    await lab.createVolume('again', {
      nodeName: 'node-a',
      source: { image: { file: 'golden.img', sha256: status.export?.sha256 } },
    });
    const again = await lab.ready('again');
    const [one, other] = [dataPathOf(await lab.ready('origin')), dataPathOf(again)].map((data) =>
      readFileSync(path.join(data, 'file')),
    );
    expect(one?.equals(other ?? Buffer.alloc(0))).toBe(true);
    const subvolumes = sh('btrfs', 'subvolume', 'list', again.status.mountPath ?? '')
      .trim()
      .split('\n');
    expect(subvolumes).toHaveLength(2);
  });

  it('LoopbackVolume: an export is removed with spec.export, made anew after the volume was changed, and goes with the volume', async () => {
    await lab.createVolume('changing', { nodeName: 'node-a', size: '256Mi' });
    await lab.ready('changing');
    await lab.change('changing', { mounted: false, export: { file: 'first.img' } });
    const first = await lab.volumeThat('changing', isExported, 30_000);
    const firstFile = first.status.export?.file ?? '';
    await lab.change('changing', { mounted: true, export: null });
    const mounted = await lab.volumeThat('changing', ({ status }) => status.mountPath !== undefined);
    expect(existsSync(firstFile)).toBe(false);
    expect([mounted.status.export, conditionOf(mounted, 'Exported')]).toEqual([undefined, undefined]);
    writeFileSync(path.join(dataPathOf(mounted), 'new'), 'in the second');
    await lab.change('changing', { mounted: false, export: { file: 'second.img' } });
    const second = await lab.volumeThat('changing', isExported, 30_000);
    const secondFile = second.status.export?.file ?? '';
    expect(lookInto(secondFile, 'second').names).toEqual(['new']);
    expect(readdirSync(path.dirname(secondFile))).toEqual(['second.img']);
    await lab.remove('changing');
    expect(existsSync(path.dirname(secondFile))).toBe(false);
  });

  it('LoopbackVolume: a file that somebody took away is written again', async () => {
    await lab.createVolume('taken', {
      nodeName: 'node-a',
      size: '256Mi',
      mounted: false,
      export: { file: 'taken.img' },
    });
    const before = await lab.volumeThat('taken', isExported, 30_000);
    const file = before.status.export?.file ?? '';
    sh('rm', file);
    await lab.change('taken', { label: 'looked-at' });
    await lab.volumeThat('taken', (volume) => isExported(volume) && existsSync(file), 30_000);
  });

  it('F24 LoopbackVolume: a refused minimize costs nothing again, and nothing is exported anew, when the agent restarts', async () => {
    await lab.createVolume('full', { nodeName: 'node-a', size: '600Mi' });
    writeFileSync(path.join(dataPathOf(await lab.ready('full')), 'file'), randomBytes(280 * MiB));
    const spec = { size: '270Mi', minimize: { headroom: '0' }, mounted: false, export: { file: 'full.img' } };
    await lab.change('full', spec);
    const before = await lab.volumeThat('full', isExported, 60_000);
    const file = before.status.export?.file ?? '';
    const { ino } = statSync(file);
    expect(conditionOf(before, 'Resized')).toMatchObject({ status: 'False', reason: 'ShrinkDoesNotFit' });

    await agent.end();
    agent = await lab.startAgent('node-a', { flags: ['--image-sources=On'] });
    const { metadata } = await lab.change('full', { label: 'looked-at' });
    const isSeen = ({ status }: LoopbackVolume) => status.observedGeneration === metadata.generation;
    const after = await lab.volumeThat('full', (volume) => isSeen(volume) && isExported(volume), 30_000);
    expect(after.status.export).toEqual(before.status.export);
    expect(statSync(file).ino).toBe(ino);
    expect(conditionOf(after, 'Resized')).toEqual({
      ...conditionOf(before, 'Resized'),
      observedGeneration: metadata.generation,
    });
    expect(conditionOf(after, 'Stalled')?.reason).toBe('ShrinkDoesNotFit');
  });

  it('A15 LoopbackVolume: without leave of the configuration no image comes in', async () => {
    await lab.startAgent('node-b');
    await lab.createVolume('forbidden', { nodeName: 'node-b', source: { image: { file: 'golden.img' } } });
    const refused = await lab.withReason('forbidden', 'Ready', 'ImageRefused');
    expect(conditionOf(refused, 'Ready')?.message).toContain('--image-sources');
  });

  it('C11 LoopbackVolume: is made of a Snapshot of another node', async () => {
    await lab.createVolume('remote', { nodeName: 'node-b', source: { snapshotRef: { name: 'origin-base' } } });
    const remote = await lab.ready('remote', 60_000);
    const origin = await lab.ready('origin');
    const [one, other] = [origin, remote].map((volume) => readFileSync(path.join(dataPathOf(volume), 'file')));
    expect(one?.equals(other ?? Buffer.alloc(0))).toBe(true);
  });
});
