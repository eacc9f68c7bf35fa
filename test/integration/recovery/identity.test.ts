import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Orphan } from '../../../src/api/btrfs-node.ts';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { Storage } from '../../../src/storage/context.ts';
import { createImage } from '../../../src/storage/volumes/create.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { storageAt } from '../storage/store.ts';
import { isLive, loopsOf, sh } from './host-view.ts';

let lab: Lab;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

interface Placed extends LoopbackVolume {
  readonly imagePath: string;
  readonly recordPath: string;
  readonly filePath: string;
}

async function readyVolume(name: string, spec = {}): Promise<Placed> {
  await lab.createVolume(name, { size: '256Mi', nodeName: 'node-a', ...spec });
  const volume = await lab.ready(name);
  const { imagePath = '' } = volume.status;
  const filePath = path.join(dataPathOf(volume), 'file');
  writeFileSync(filePath, name);
  const recordPath = path.join(imagePath, '../../records', `${volume.metadata.uid}.json`);
  return { ...volume, imagePath, recordPath, filePath };
}

/** Unmounted and detached by hand, as after a reboot. */
function takeDownByHand({ status, imagePath }: Placed): void {
  sh('umount', status.mountPath ?? '');
  for (const loopPath of loopsOf(imagePath)) sh('losetup', '--detach', loopPath);
}

/** Does this while no agent runs, and gives the next one. */
async function withoutAgent(change: () => void | Promise<void>): Promise<void> {
  agent.kill('SIGKILL');
  await agent.exited;
  await change();
  agent = await lab.startAgent('node-a');
}

/** What the node lists as belonging to no object, as soon as it is as `are` says. */
const orphansThat = (are: (orphans: readonly Orphan[]) => boolean) =>
  waitFor(
    async () => {
      const { orphans = [] } = (await lab.btrfsNodes.get('node-a'))?.status ?? {};
      return are(orphans) ? orphans : undefined;
    },
    { what: 'orphans as expected' },
  );

describe('LoopbackVolume: record and image', () => {
  it('C2 LoopbackVolume: without its image it says BackingFileMissing, no empty one is made, and the image put back is used', async () => {
    const volume = await readyVolume('lost-image');
    const { imagePath, filePath } = volume;
    await withoutAgent(() => {
      takeDownByHand(volume);
      renameSync(imagePath, `${imagePath}.away`);
    });
    const said = await lab.withReason('lost-image', 'Ready', 'BackingFileMissing');
    expect(conditionOf(said, 'Ready')).toMatchObject({
      status: 'False',
      message: expect.stringContaining('put back a copy'),
    });
    expect(said.status.filesystemUUID).toBe(volume.status.filesystemUUID);
    await lab.change('lost-image', { label: 'again' });
    await lab.volumeThat('lost-image', ({ status }) => status.observedGeneration === 2);
    expect(existsSync(imagePath)).toBe(false);
    renameSync(`${imagePath}.away`, imagePath);
    await lab.change('lost-image', { label: 'back' }); // else it is looked at within a minute
    await lab.ready('lost-image');
    expect(readFileSync(filePath, 'utf8')).toBe('lost-image');
  });

  it('C2 LoopbackVolume: an image without its record is reported and left as it is, and so it is when both are gone', async () => {
    const volume = await readyVolume('lost-record');
    const { imagePath, recordPath } = volume;
    await withoutAgent(() => {
      takeDownByHand(volume);
      renameSync(recordPath, `${recordPath}.away`);
    });
    const { ino, mtimeMs } = statSync(imagePath);
    await lab.withReason('lost-record', 'Ready', 'ForeignFilesystem');
    expect([statSync(imagePath).ino, statSync(imagePath).mtimeMs, loopsOf(imagePath)]).toEqual([ino, mtimeMs, []]);
    await withoutAgent(() => renameSync(imagePath, `${imagePath}.away`));
    await lab.withReason('lost-record', 'Ready', 'BackingFileMissing');
    expect(existsSync(imagePath)).toBe(false);
    renameSync(`${imagePath}.away`, imagePath);
    renameSync(`${recordPath}.away`, recordPath);
    await lab.change('lost-record', { label: 'back' });
    await lab.ready('lost-record');
    expect(readFileSync(volume.filePath, 'utf8')).toBe('lost-record');
  });

  it.each<[string, (storage: Storage, uid: string) => void]>([
    ['after the record was saved', ({ layout }, uid) => sh('rm', layout.imagePath(uid))],
    [
      'before the record was saved',
      ({ layout }, uid) => {
        sh('mv', layout.imagePath(uid), layout.stagedImagePath(uid));
        sh('rm', layout.recordPath(uid));
      },
    ],
  ])('C8 LoopbackVolume: a creation that broke off %s is begun anew, with an Event', async (what, breakOff) => {
    const name = what.replaceAll(' ', '-');
    await withoutAgent(async () => {
      await lab.createVolume(name, { size: '256Mi', nodeName: 'node-a' });
      const volume = await lab.volumeThat(name, ({ status }) => status.nodeName !== undefined);
      const storage = storageAt(lab.rootPath('node-a'));
      await createImage(storage, { uid: volume.metadata.uid, namespace: 'default', name }, 256 * 1024 ** 2);
      breakOff(storage, volume.metadata.uid);
    });
    const volume = await lab.ready(name);
    const images = readdirSync(path.join(lab.rootPath('node-a'), 'images'));
    expect(images.filter((image) => image.startsWith(volume.metadata.uid))).toEqual([`${volume.metadata.uid}.img`]);
    expect((await lab.event(volume, 'Created')).note).toMatch(/made/);
  });

  it('C8 agent: data whose object is gone from the API server is not deleted, and listed as an orphan', async () => {
    const volume = await readyVolume('forgotten');
    await withoutAgent(async () => {
      // As after an etcd that was restored from an older backup.
      await lab.volumes.delete('default/forgotten');
      await lab.volumeThat('forgotten', ({ metadata }) => metadata.deletionTimestamp !== undefined);
      await lab.volumes.patch('default/forgotten', { metadata: { finalizers: null } }, { type: 'merge' });
      await lab.volumeGone('forgotten');
    });
    await readyVolume('bystander');
    const [orphan] = await orphansThat((orphans) => orphans.some(({ name }) => name === 'forgotten'));
    expect(orphan).toMatchObject({
      uid: volume.metadata.uid,
      kind: 'LoopbackVolume',
      namespace: 'default',
      name: 'forgotten',
    });
    expect(orphan?.bytes).toBeGreaterThan(0);
    expect(existsSync(volume.imagePath)).toBe(true);
    expect(JSON.parse(readFileSync(volume.recordPath, 'utf8'))).toMatchObject({ name: 'forgotten', initialized: true });
    expect(readFileSync(volume.filePath, 'utf8')).toBe('forgotten');
  });

  it('C2 agent: an image whose record and object are gone is listed as an orphan, and deleting it by hand ends that', async () => {
    const volume = await readyVolume('unknown');
    await withoutAgent(async () => {
      takeDownByHand(volume);
      sh('rm', volume.recordPath);
      await lab.volumes.delete('default/unknown');
      await lab.volumeThat('unknown', ({ metadata }) => metadata.deletionTimestamp !== undefined);
      await lab.volumes.patch('default/unknown', { metadata: { finalizers: null } }, { type: 'merge' });
      await lab.volumeGone('unknown');
    });
    const isListed = (orphans: readonly Orphan[]) => orphans.some(({ uid }) => uid === volume.metadata.uid);
    const orphans = await orphansThat(isListed);
    expect(orphans.find(({ uid }) => uid === volume.metadata.uid)).not.toHaveProperty('name');
    expect(statSync(volume.imagePath).size).toBe(256 * 1024 ** 2);
    sh('rm', volume.imagePath);
    await readyVolume('next');
    await orphansThat((left) => !isListed(left));
  });

  it('C5 LoopbackVolume: deletionPolicy Retain keeps image and record, whole, and nothing attached or mounted', async () => {
    const volume = await readyVolume('retained', { deletionPolicy: 'Retain' });
    await lab.remove('retained');
    await orphansThat((orphans) => orphans.some(({ uid }) => uid === volume.metadata.uid));
    expect(loopsOf(volume.imagePath)).toEqual([]);
    expect(isLive(volume.status.filesystemUUID)).toBe(false);
    expect(existsSync(volume.status.mountPath ?? '')).toBe(false);
    expect(JSON.parse(readFileSync(volume.recordPath, 'utf8'))).toMatchObject({
      uid: volume.metadata.uid,
      namespace: 'default',
      name: 'retained',
      filesystemUUID: volume.status.filesystemUUID,
    });
    expect(sh('btrfs', 'check', '--readonly', volume.imagePath)).toContain('no error found');
  });

  it('C9 LoopbackVolume: a new object of the same name gets nothing of the old one, deleted or retained', async () => {
    const uids = new Set<string>();
    for (const deletionPolicy of ['Delete', 'Retain', 'Delete']) {
      const volume = await lab.createVolume('again', { size: '256Mi', nodeName: 'node-a', deletionPolicy });
      const { status } = await lab.ready('again');
      const dataPath = path.join(status.mountPath ?? '', 'data');
      expect(readdirSync(dataPath)).toEqual([]);
      writeFileSync(path.join(dataPath, 'file'), 'secret');
      for (const id of [volume.metadata.uid, status.filesystemUUID ?? '']) {
        expect(uids).not.toContain(id);
        uids.add(id);
      }
      await lab.remove('again');
    }
  });

  it('C14 LoopbackVolume: deleting one whose image and record are gone already succeeds, and the log says so', async () => {
    const volume = await readyVolume('gone');
    await withoutAgent(() => {
      takeDownByHand(volume);
      sh('rm', volume.imagePath, volume.recordPath);
    });
    await lab.remove('gone');
    const said = (line: string) => line.includes('"name":"gone"') && line.includes('was gone already');
    const line = await waitFor(() => agent.log().split('\n').find(said), { what: 'line in the log' });
    expect(line).toContain('"level":"info"');
  });

  it('C19 LoopbackVolume: is Ready only when its record is saved, and Reconciling until then', async () => {
    const recordsPath = path.join(lab.rootPath('node-a'), 'records');
    sh('chattr', '+i', recordsPath);
    try {
      await lab.createVolume('unrecorded', { size: '256Mi', nodeName: 'node-a' });
      const waiting = await lab.withReason('unrecorded', 'Ready', 'CommandFailed');
      expect(conditionOf(waiting, 'Ready')).toMatchObject({
        status: 'False',
        message: expect.stringContaining('record'),
      });
      expect(conditionOf(waiting, 'Reconciling')?.status).toBe('True');
      const images = readdirSync(path.join(lab.rootPath('node-a'), 'images'));
      expect(images.filter((name) => name.startsWith(waiting.metadata.uid))).toEqual([]);
    } finally {
      sh('chattr', '-i', recordsPath);
    }
    const { metadata } = await lab.ready('unrecorded');
    const record = JSON.parse(readFileSync(path.join(recordsPath, `${metadata.uid}.json`), 'utf8'));
    expect(record).toMatchObject({ initialized: true });
  });
});
