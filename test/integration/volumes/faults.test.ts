import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { loopsOf, sh } from '../recovery/host-view.ts';
import { makeShims, type Shims } from '../storage/shims.ts';
import { leftOf } from './kernel.ts';

let lab: Lab;
let shims: Shims;

beforeAll(async () => {
  lab = await startLab();
  shims = makeShims(lab.dir);
  await lab.startAgent('node-a', { commandPath: shims.commandPath });
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => {
  lab.showLogsOnFailure();
  shims.heal();
});

async function create(name: string, spec: Record<string, unknown> = {}): Promise<LoopbackVolume> {
  await lab.createVolume(name, { size: '128Mi', nodeName: 'node-a', ...spec });
  return await lab.ready(name);
}

/** Direct I/O of a volume's loop device, as the kernel has it. */
function directIOOf({ status }: LoopbackVolume): boolean {
  return readFileSync(`/sys/block/${path.basename(status.loopDevice ?? '')}/loop/dio`, 'utf8') === '1\n';
}

const sectorSizeOf = ({ status }: LoopbackVolume) => Number(sh('blockdev', '--getss', status.loopDevice ?? ''));

/** Waits until a volume that fails has come to rest with its image and record and nothing else. */
async function onlyItsFiles({ metadata: { uid } }: LoopbackVolume): Promise<void> {
  const expected = [`images/${uid}.img`, `records/${uid}.json`];
  let left: string[] = [];
  const isClean = () => {
    left = leftOf(lab.rootPath('node-a'));
    return left.join() === expected.join();
  };
  await waitFor(isClean, { what: 'rest without leftovers' }).catch((error: unknown) => {
    throw new Error(`left: ${left.join(', ')}`, { cause: error });
  });
}

describe('LoopbackVolume: a step that fails', () => {
  it.each([
    ['attach', '^losetup --find', 'losetup: failed to set up loop device: Resource temporarily unavailable'],
    ['format', '^mkfs.btrfs ', 'ERROR: unable to zero the first superblock: Input/output error'],
    ['mount', '^mount ', 'mount: mount(2) system call failed: Cannot allocate memory.'],
    ['subvolume', '^btrfs subvolume create', 'ERROR: cannot create subvolume: Cannot allocate memory'],
    ['sync', '^btrfs filesystem sync', 'ERROR: sync ioctl failed: Input/output error'],
  ])(
    'A13 LoopbackVolume: %s leaves no loop device, mount or directory, says why and recovers',
    async (step, pattern, stderr) => {
      shims.fail(pattern, { stderr });
      const name = `fails-to-${step}`;
      await lab.createVolume(name, { size: '128Mi', nodeName: 'node-a' });
      const failed = await lab.withReason(name, 'Ready', 'CommandFailed');
      expect(conditionOf(failed, 'Ready')).toMatchObject({ status: 'False', message: expect.stringContaining(stderr) });
      expect([failed.status.mountPath, failed.status.filesystemUUID]).toEqual([undefined, undefined]);
      await onlyItsFiles(failed);
      shims.heal();
      const volume = await lab.ready(name);
      writeFileSync(path.join(dataPathOf(volume), 'file'), 'works');
      await lab.remove(name);
    },
  );

  it('A13 LoopbackVolume: a volume with data that fails to be mounted leaves nothing either, and has its data afterwards', async () => {
    const volume = await create('fails-again');
    writeFileSync(path.join(dataPathOf(volume), 'file'), 'kept');
    await lab.change('fails-again', { mounted: false });
    await lab.withReason('fails-again', 'Ready', 'Unmounted');
    shims.fail('^mount ', { stderr: 'mount: mount(2) system call failed: Cannot allocate memory.' });
    await lab.change('fails-again', { mounted: true });
    const failed = await lab.withReason('fails-again', 'Ready', 'CommandFailed');
    await onlyItsFiles(failed);
    shims.heal();
    expect(readFileSync(path.join(dataPathOf(await lab.ready('fails-again')), 'file'), 'utf8')).toBe('kept');
    await lab.remove('fails-again');
  });
});

describe('LoopbackVolume: best effort', () => {
  it('A10 LoopbackVolume: a sector size that is refused is shown in status, and the volume is Ready', async () => {
    shims.fail('^losetup .*--sector-size=', { stderr: 'losetup: cannot set sector size: Invalid argument' });
    const volume = await create('small-sectors');
    expect([volume.status.sectorSize, sectorSizeOf(volume)]).toEqual([512, 512]);
    expect(loopsOf(volume.status.imagePath ?? '')).toEqual([volume.status.loopDevice]);
  });

  it('A11 LoopbackVolume: direct I/O that losetup refuses is shown in status, and the volume is Ready', async () => {
    shims.fail('^losetup .*--direct-io=on', { stderr: 'losetup: set direct io failed: Invalid argument' });
    const volume = await create('cached');
    expect([volume.status.directIO, directIOOf(volume)]).toEqual([false, false]);
    expect([volume.status.sectorSize, sectorSizeOf(volume)]).toEqual([4096, 4096]);
  });

  it('A11 LoopbackVolume: on a disk whose sectors are larger than those of the loop device the kernel refuses direct I/O', async () => {
    const [disk, rootPath] = [path.join(lab.dir, 'disk.img'), lab.rootPath('node-disk')];
    sh('truncate', '--size=400M', disk);
    const device = sh('losetup', '--find', '--show', '--sector-size=4096', disk);
    sh('mkfs.ext4', '-q', '-b', '4096', device);
    mkdirSync(rootPath);
    sh('mount', device, rootPath);
    await lab.startAgent('node-disk', { flags: ['--sector-size=512'] });
    const volume = await create('on-disk', { nodeName: 'node-disk' });
    expect([volume.status.directIO, directIOOf(volume), volume.status.sectorSize]).toEqual([false, false, 512]);
    await lab.remove('on-disk');
  });

  it('A11 LoopbackVolume: on tmpfs the volume is Ready, and status says of direct I/O what the kernel does (yes from 6.6)', async () => {
    const rootPath = lab.rootPath('node-tmpfs');
    mkdirSync(rootPath);
    sh('mount', '--types', 'tmpfs', '--options', 'size=400m', 'tmpfs', rootPath);
    await lab.startAgent('node-tmpfs');
    const volume = await create('in-memory', { nodeName: 'node-tmpfs' });
    expect(volume.status.directIO).toBe(directIOOf(volume));
    writeFileSync(path.join(dataPathOf(volume), 'file'), 'works');
    await lab.remove('in-memory');
    expect(leftOf(rootPath)).toEqual([]);
  });
});
