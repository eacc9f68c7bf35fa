import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, isSettled, type Lab, startLab } from '../lab.ts';
import { loopsOf, sh } from '../recovery/host-view.ts';
import { makeShims, type Shims } from '../storage/shims.ts';
import { changesSince, markOf, passEnded } from './commands.ts';
import { mountAt, sha256 } from './kernel.ts';

const MiB = 2 ** 20;

let lab: Lab;
let agent: OperatorProcess;
let shims: Shims;

beforeAll(async () => {
  lab = await startLab();
  shims = makeShims(lab.dir);
  agent = await lab.startAgent('node-a', { commandPath: shims.commandPath });
  const offers = async () => (await lab.btrfsNodes.get('node-a'))?.status.allocatableBytes !== undefined;
  await waitFor(offers, { what: 'BtrfsNode node-a' });
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** Whatever `work` does, the agent sees its result only. */
async function whilePaused<T>(work: () => Promise<T>): Promise<T> {
  agent.kill('SIGSTOP');
  try {
    return await work();
  } finally {
    agent.kill('SIGCONT');
  }
}

/** Paused in the middle of a try, the agent would go on with what it had looked at before. */
async function restBetweenTries(name: string): Promise<void> {
  const pauses = () =>
    agent
      .log()
      .split('\n')
      .filter((line) => line.includes(`"name":"${name}"`))
      .flatMap((line) => Number(line.match(/"retryAfterMs":(\d+)/)?.[1] ?? []));
  await waitFor(() => (pauses().at(-1) ?? 0) > 3_000, { what: `a long pause between tries for ${name}` });
}

/** A volume that is formatted and lies on the node unmounted. */
async function createUnmounted(name: string): Promise<LoopbackVolume & { readonly imagePath: string }> {
  await lab.createVolume(name, { size: '128Mi', mounted: false });
  const is = (now: LoopbackVolume) => isSettled(now, 'True') && conditionOf(now, 'Ready')?.reason === 'Unmounted';
  const volume = await lab.volumeThat(name, is, 20_000);
  return { ...volume, imagePath: volume.status.imagePath ?? '' };
}

const imagePathOf = ({ metadata }: LoopbackVolume) =>
  path.join(lab.rootPath('node-a'), 'images', `${metadata.uid}.img`);

/** Content that the operator did not make, and what makes it. */
const foreignContents: Readonly<Record<string, (file: string) => void>> = {
  'an ext4': (file) => {
    sh('truncate', '--size=64M', file);
    sh('mkfs.ext4', '-q', '-F', file);
  },
  'random bytes': (file) => writeFileSync(file, randomBytes(16 * MiB)),
  'zeros that are no hole': (file) => writeFileSync(file, Buffer.alloc(16 * MiB)),
};

/** What a file holds and how much of it is there: a format or a discard would change one or the other. */
const contentOf = (file: string) => ({ sum: sha256(file), blocks: statSync(file).blocks, inode: statSync(file).ino });

async function expectRefused(name: string, reason: string, volume: LoopbackVolume): Promise<void> {
  const refused = await lab.withReason(name, 'Ready', reason);
  expect(conditionOf(refused, 'Ready')?.status).toBe('False');
  expect(conditionOf(refused, 'Stalled')?.reason).toBe(reason);
  expect([refused.status.mountPath, refused.status.loopDevice]).toEqual([undefined, undefined]);
  expect(loopsOf(imagePathOf(volume))).toEqual([]);
  expect(mountAt(path.join(lab.rootPath('node-a'), 'volumes', volume.metadata.uid))).toBeUndefined();
}

describe('LoopbackVolume: foreign content', () => {
  it.each(Object.entries(foreignContents))(
    'A5 LoopbackVolume: %s in the place of a new image is never formatted, and the volume is made when it is moved away',
    async (what, make) => {
      const name = `new-${what.split(' ')[0]}`;
      const { volume, before } = await whilePaused(async () => {
        await lab.createVolume(name, { size: '128Mi' });
        const volume = await lab.volumeThat(name, ({ status }) => status.nodeName !== undefined);
        make(imagePathOf(volume));
        return { volume, before: contentOf(imagePathOf(volume)) };
      });
      await expectRefused(name, 'ForeignFilesystem', volume);
      expect(contentOf(imagePathOf(volume))).toEqual(before);
      renameSync(imagePathOf(volume), path.join(lab.dir, `${name}.moved`));
      await lab.ready(name);
      expect(sha256(path.join(lab.dir, `${name}.moved`))).toBe(before.sum);
    },
  );

  it.each(Object.entries(foreignContents))(
    'A6 LoopbackVolume: %s in the place of a formatted image is neither mounted nor changed',
    async (what, make) => {
      const name = `known-${what.split(' ')[0]}`;
      const volume = await createUnmounted(name);
      const kept = path.join(lab.dir, `${name}.kept`);
      renameSync(volume.imagePath, kept);
      make(volume.imagePath);
      const before = contentOf(volume.imagePath);
      const mark = markOf(agent);
      await lab.change(name, { mounted: true });
      await expectRefused(name, 'ForeignFilesystem', volume);
      expect(contentOf(volume.imagePath)).toEqual(before);
      expect(changesSince(agent, mark).filter((line) => line.includes(volume.metadata.uid))).toEqual([]);
      renameSync(kept, volume.imagePath); // over the foreign one: the volume is itself again
      await lab.ready(name);
    },
  );

  it.each(['another file', 'the same file'])(
    'A5 LoopbackVolume: an ext4 that comes as %s while the first format fails is never formatted',
    async (which) => {
      shims.fail('^mkfs.btrfs ', { stderr: 'ERROR: unable to open /dev/loop0: Input/output error' });
      const name = `unfinished-${which.split(' ')[0]}`;
      await lab.createVolume(name, { size: '128Mi' });
      const volume = await lab.withReason(name, 'Ready', 'CommandFailed');
      const imagePath = imagePathOf(volume);
      await restBetweenTries(name);
      const before = await whilePaused(async () => {
        for (const loop of loopsOf(imagePath)) sh('losetup', '--detach', loop); // of a try that was going on
        const place = which === 'another file' ? `${imagePath}.other` : imagePath;
        sh('mkfs.ext4', '-q', '-F', place, '64M');
        if (place !== imagePath) renameSync(place, imagePath);
        shims.heal();
        return contentOf(imagePath);
      });
      await expectRefused(name, 'ForeignFilesystem', volume);
      expect(contentOf(imagePath)).toEqual(before);
    },
  );
});

describe('LoopbackVolume: the loop device of an image', () => {
  it('A9 LoopbackVolume: a device that was attached by a path that is no more is used, not a second one', async () => {
    const volume = await createUnmounted('other-path');
    const place = path.join(lab.dir, 'other-place');
    sh('mkdir', place);
    const attach = `mount --bind "$1" "$2" && losetup --find --show "$2/${path.basename(volume.imagePath)}"`;
    const device = sh('unshare', '--mount', 'sh', '-c', attach, 'sh', path.dirname(volume.imagePath), place);
    expect(readFileSync(`/sys/block/${path.basename(device)}/loop/backing_file`, 'utf8')).not.toContain(
      volume.imagePath,
    );
    await lab.change('other-path', { mounted: true });
    const { status } = await lab.ready('other-path');
    expect([status.loopDevice, mountAt(status.mountPath ?? '')?.source]).toEqual([device, device]);
    expect(loopsOf(volume.imagePath)).toEqual([device]);
    // Attached by somebody else with sectors of 512 bytes, which status says (A10).
    expect(status.sectorSize).toBe(512);
  });

  it('A9 LoopbackVolume: a device of another file that shows the path of the image is left alone', async () => {
    const volume = await createUnmounted('same-path');
    const place = path.join(lab.dir, 'decoys');
    const decoy = path.join(place, path.basename(volume.imagePath));
    sh('mkdir', place);
    sh('truncate', '--size=128M', decoy);
    // The kernel shows the path in the mount namespace of the one who attached.
    const attach = `mount --bind "$1" "$2" && losetup --find --show "$2/${path.basename(decoy)}"`;
    const device = sh('unshare', '--mount', 'sh', '-c', attach, 'sh', place, path.dirname(volume.imagePath));
    await lab.change('same-path', { mounted: true });
    const { status } = await lab.ready('same-path');
    expect(status.loopDevice).not.toBe(device);
    expect(loopsOf(volume.imagePath)).toEqual([status.loopDevice]);
    expect(loopsOf(decoy)).toEqual([device]);
    await lab.remove('same-path');
    expect(loopsOf(decoy)).toEqual([device]);
    expect(statSync(decoy).blocks).toBe(0);
    sh('losetup', '--detach', device);
  });
});

describe('LoopbackVolume: what cannot be mended', () => {
  it('A23 LoopbackVolume: a missing image is BackingFileMissing, and no empty one takes its place', async () => {
    const volume = await createUnmounted('missing');
    const kept = path.join(lab.dir, 'missing.kept');
    renameSync(volume.imagePath, kept);
    const mark = markOf(agent);
    await lab.change('missing', { mounted: true });
    await lab.withReason('missing', 'Ready', 'BackingFileMissing');
    await passEnded(agent, 'missing', mark);
    expect(existsSync(volume.imagePath)).toBe(false);
    expect(changesSince(agent, mark).filter((line) => line.includes(volume.metadata.uid))).toEqual([]);
    renameSync(kept, volume.imagePath);
    await lab.ready('missing');
  });

  it('A23 LoopbackVolume: an image that goes while it is mounted is BackingFileMissing, and its data stays mounted', async () => {
    await lab.createVolume('vanished', { size: '128Mi' });
    const volume = await lab.ready('vanished');
    const kept = path.join(lab.dir, 'vanished.kept');
    renameSync(volume.status.imagePath ?? '', kept);
    const missing = await lab.withReason('vanished', 'Ready', 'BackingFileMissing');
    expect(conditionOf(missing, 'Ready')?.status).toBe('False');
    writeFileSync(path.join(dataPathOf(volume), 'still'), 'there');
    expect(existsSync(volume.status.imagePath ?? '')).toBe(false);
    renameSync(kept, volume.status.imagePath ?? '');
    await lab.ready('vanished');
  });

  it('A23 LoopbackVolume: a copy of another volume is DuplicateFilesystem before anything is mounted or written', async () => {
    await lab.createVolume('original', { size: '128Mi' });
    const original = await lab.ready('original');
    const volume = await createUnmounted('copied-over');
    sh('sync', '--file-system', original.status.mountPath ?? '');
    sh('cp', '--sparse=always', original.status.imagePath ?? '', `${volume.imagePath}.copy`);
    renameSync(`${volume.imagePath}.copy`, volume.imagePath);
    const before = contentOf(volume.imagePath);
    const mark = markOf(agent);
    await lab.change('copied-over', { mounted: true });
    await expectRefused('copied-over', 'DuplicateFilesystem', volume);
    expect(contentOf(volume.imagePath)).toEqual(before);
    expect(changesSince(agent, mark).filter((line) => line.includes(volume.metadata.uid))).toEqual([]);
    await lab.ready('original');
  });

  it('A23 LoopbackVolume: a copy of it that somebody has mounted is DuplicateFilesystem, until it is unmounted', async () => {
    const volume = await createUnmounted('twin');
    const [copy, place] = [path.join(lab.dir, 'twin.copy'), path.join(lab.dir, 'twin')];
    sh('cp', '--sparse=always', volume.imagePath, copy);
    sh('mkdir', place);
    sh('mount', '--types', 'btrfs', '--options', 'loop', copy, place);
    const before = contentOf(volume.imagePath);
    await lab.change('twin', { mounted: true });
    await expectRefused('twin', 'DuplicateFilesystem', volume);
    expect(contentOf(volume.imagePath)).toEqual(before);
    sh('umount', place);
    await lab.change('twin', { label: 'alone' });
    await lab.ready('twin');
  });
});
