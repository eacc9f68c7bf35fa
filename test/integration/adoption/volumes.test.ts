import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { conditionOf, dataPathOf } from '../lab.ts';
import { holdMount, isLive, loopsOf, sh } from '../recovery/host-view.ts';
import { createPod, deletePods } from '../recovery/pods.ts';
import { kit, lab, useAdoptionLab } from './file-lab.ts';
import { NODE } from './kit.ts';

useAdoptionLab();

const size = '256Mi';
const imagesIn = (uid: string) =>
  readdirSync(path.join(lab.rootPath(NODE), 'images')).filter((name) => name.startsWith(uid));
const recordPathOf = (uid: string) => path.join(lab.rootPath(NODE), 'records', `${uid}.json`);
const recordOf = (uid: string) => JSON.parse(readFileSync(recordPathOf(uid), 'utf8')) as Record<string, unknown>;

/** Ready, with its name in a file. */
async function written(name: string, spec: Record<string, unknown> = {}): Promise<LoopbackVolume> {
  await lab.createVolume(name, { size, nodeName: NODE, ...spec });
  const volume = await lab.ready(name);
  writeFileSync(path.join(dataPathOf(volume), 'file'), name);
  return volume;
}

/** Its object is gone, its data is on the node and listed. */
async function orphaned(name: string, spec: Record<string, unknown> = {}): Promise<LoopbackVolume> {
  const volume = await written(name, spec);
  await kit.withoutAgent(() => kit.forget(`LoopbackVolume/${name}`));
  await kit.orphan(volume.metadata.uid);
  return volume;
}

const adopting = (name: string, uid: string, spec: Record<string, unknown> = {}) =>
  lab.createVolume(name, { size, source: { adopt: { uid } }, ...spec });
const contentOf = (volume: LoopbackVolume) => readFileSync(path.join(dataPathOf(volume), 'file'), 'utf8');

describe('LoopbackVolume: source.adopt', () => {
  it('C8 LoopbackVolume: an orphan is adopted with content, filesystem UUID and size, on the node that lists it', async () => {
    const before = await orphaned('lost');
    const { uid: orphanUid } = before.metadata;
    expect(await kit.orphan(orphanUid)).toMatchObject({
      kind: 'LoopbackVolume',
      namespace: 'default',
      name: 'lost',
      sizeBytes: 256 * 1024 ** 2,
      bytes: expect.any(Number),
      since: expect.any(String),
    });
    await adopting('lost', orphanUid);
    const after = await lab.ready('lost');
    expect(after.status.nodeName).toBe(NODE);
    expect(contentOf(after)).toBe('lost');
    expect(after.status.filesystemUUID).toBe(before.status.filesystemUUID);
    expect(after.status.sizeBytes).toBe(before.status.sizeBytes);
    expect((await lab.event(after, 'Adopted')).note).toContain(orphanUid);
    const { uid } = after.metadata;
    expect([imagesIn(orphanUid), existsSync(recordPathOf(orphanUid))]).toEqual([[], false]);
    expect(recordOf(uid)).toMatchObject({ uid, name: 'lost', initialized: true });
    expect(recordOf(uid)).not.toHaveProperty('adopting');
    await kit.notListed(orphanUid, uid);
    await lab.remove('lost');
    expect([imagesIn(uid), existsSync(recordPathOf(uid))]).toEqual([[], false]);
  });

  it('C8 agent: when it is ready, what is on its node is listed', async () => {
    const { metadata } = await written('ready');
    await kit.withoutAgent(() => kit.forget('LoopbackVolume/ready'));
    const listed = (await kit.btrfsNode())?.status.orphans ?? [];
    expect(listed.map(({ uid }) => uid)).toContain(metadata.uid);
  });

  it('C5 LoopbackVolume: one that was retained is adopted in another size, and again', async () => {
    let { metadata } = await written('kept', { deletionPolicy: 'Retain', size: '300Mi' });
    for (const wanted of ['512Mi', '256Mi']) {
      await lab.remove('kept');
      await kit.orphan(metadata.uid);
      await adopting('kept', metadata.uid, { size: wanted, deletionPolicy: 'Retain' });
      const volume = await lab.volumeThat('kept', (each) => conditionOf(each, 'Resized')?.status === 'True', 30_000);
      expect(volume.status.sizeBytes).toBe(Number.parseInt(wanted, 10) * 1024 ** 2);
      expect(contentOf(volume)).toBe('kept');
      metadata = volume.metadata;
    }
  });

  it('C8 LoopbackVolume: an exported file goes along', async () => {
    await written('shown', { deletionPolicy: 'Retain' });
    await lab.change('shown', { mounted: false, export: { file: 'shown.img' } });
    const before = await lab.volumeThat('shown', ({ status }) => status.export !== undefined, 30_000);
    await lab.remove('shown');
    await adopting('shown', before.metadata.uid, { mounted: false, export: { file: 'shown.img' } });
    const after = await lab.volumeThat('shown', ({ status }) => status.export !== undefined);
    expect(after.status.export?.sha256).toBe(before.status.export?.sha256);
    const file = after.status.export?.file ?? '';
    expect(file).toContain(after.metadata.uid);
    expect(sh('sha256sum', '--', file)).toContain(before.status.export?.sha256);
    expect(existsSync(before.status.export?.file ?? '')).toBe(false);
    await lab.remove('shown');
    expect(existsSync(path.dirname(file))).toBe(false);
  });

  it('C2 LoopbackVolume: only an object of the recorded namespace and name adopts, and others learn no more than that', async () => {
    const { metadata } = await orphaned('mine');
    const { uid } = metadata;
    await adopting('other', uid);
    const other = await lab.withReason('other', 'Scheduled', 'AdoptionRefused');
    expect(conditionOf(other, 'Scheduled')?.message).toContain('its record names "mine"; give the volume that name');
    await lab.kubectl(['create', 'namespace', 'elsewhere']);
    const stranger = `{"apiVersion":"btrfs-operator.io/v1alpha1","kind":"LoopbackVolume","metadata":{"name":"mine","namespace":"elsewhere"},"spec":{"size":"256Mi","source":{"adopt":{"uid":"${uid}"}}}}`;
    await lab.kubectl(['create', '-f', '-'], { stdin: stranger });
    const messageOf = () =>
      lab.kubectl([
        'get',
        'lbv/mine',
        '-n',
        'elsewhere',
        '-o',
        'jsonpath={.status.conditions[?(@.type=="Scheduled")].message}',
      ]);
    await expect.poll(messageOf).toContain('another namespace');
    expect(await messageOf()).not.toContain('default');
    await adopting('nothing', '00000000-0000-4000-8000-000000000000');
    const nothing = await lab.withReason('nothing', 'Scheduled', 'OrphanNotFound');
    expect(conditionOf(nothing, 'Scheduled')?.message).toContain('see status.orphans of the BtrfsNodes');
    for (const name of ['other', 'nothing']) await lab.remove(name);
    await lab.kubectl(['delete', 'lbv/mine', '-n', 'elsewhere']);
    expect(imagesIn(uid)).toEqual([`${uid}.img`]);
    await adopting('mine', uid, { nodeName: NODE });
    expect(contentOf(await lab.ready('mine'))).toBe('mine');
  });

  it('C8 LoopbackVolume: an object of the name in a namespace that was made anew adopts', async () => {
    const manifest = (spec: object) =>
      JSON.stringify({
        apiVersion: 'btrfs-operator.io/v1alpha1',
        kind: 'LoopbackVolume',
        metadata: { name: 'team', namespace: 'team' },
        spec: { size, nodeName: NODE, ...spec },
      });
    await lab.kubectl(['create', 'namespace', 'team']);
    await lab.kubectl(['create', '-f', '-'], { stdin: manifest({ deletionPolicy: 'Retain' }) });
    await lab.kubectl(['wait', 'lbv/team', '-n', 'team', '--for=condition=Ready', '--timeout=20s']);
    const { metadata, status } = (await lab.volumes.get('team/team')) as LoopbackVolume;
    writeFileSync(path.join(status.mountPath ?? '', 'data/file'), 'team');
    await lab.kubectl(['delete', 'lbv/team', '-n', 'team']);
    await kit.orphan(metadata.uid);
    await lab.kubectl(['delete', 'namespace', 'team', '--wait=false']);
    // Nobody here empties a namespace: its finalizer is taken away by hand.
    await lab.kubectl(['replace', '--raw', '/api/v1/namespaces/team/finalize', '-f', '-'], {
      stdin: '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"},"spec":{"finalizers":[]}}',
    });
    await lab.kubectl(['create', 'namespace', 'team']);
    await lab.kubectl(['create', '-f', '-'], {
      stdin: manifest({ source: { adopt: { uid: metadata.uid } } }),
    });
    await lab.kubectl(['wait', 'lbv/team', '-n', 'team', '--for=condition=Ready', '--timeout=20s']);
    expect(contentOf((await lab.volumes.get('team/team')) as LoopbackVolume)).toBe('team');
  });

  it('C2 LoopbackVolume: a record without its image, and an image without its record, are listed and not adopted, with the way out', async () => {
    const [noImage, noRecord] = [await orphaned('no-image'), await orphaned('no-record')];
    const [first, second] = [noImage, noRecord].map(({ metadata }) => metadata.uid) as [string, string];
    const imagePath = noImage.status.imagePath ?? '';
    await kit.withoutAgent(() => {
      for (const { status } of [noImage, noRecord]) {
        sh('umount', status.mountPath ?? '');
        for (const loopPath of loopsOf(status.imagePath ?? '')) sh('losetup', '--detach', loopPath);
      }
      renameSync(imagePath, `${imagePath}.away`);
      renameSync(recordPathOf(second), `${recordPathOf(second)}.away`);
    });
    await kit.orphansThat(
      (orphans) =>
        orphans.some(({ uid, bytes }) => uid === first && bytes === 0) &&
        orphans.some(({ uid, name }) => uid === second && name === undefined),
    );
    await adopting('no-image', first);
    const refused = await lab.withReason('no-image', 'Ready', 'BackingFileMissing');
    expect(conditionOf(refused, 'Ready')?.message).toContain(imagePath);
    await adopting('no-record', second);
    const nameless = await lab.withReason('no-record', 'Scheduled', 'AdoptionRefused');
    expect(conditionOf(nameless, 'Scheduled')?.message).toContain('no record tells whose it is');
    renameSync(`${imagePath}.away`, imagePath);
    renameSync(`${recordPathOf(second)}.away`, recordPathOf(second));
    await lab.change('no-image', { label: 'again' }); // else it is looked at within a minute
    expect(contentOf(await lab.ready('no-image'))).toBe('no-image');
    await lab.change('no-record', { label: 'again' });
    expect(contentOf(await lab.ready('no-record', 60_000))).toBe('no-record');
  });

  it('C8 LoopbackVolume: what somebody still uses is not adopted before that has ended, and pods are named', async () => {
    const volume = await orphaned('used');
    const { uid } = volume.metadata;
    {
      await using _holder = await holdMount(volume.status.mountPath ?? '');
      await createPod(lab, 'user', dataPathOf(volume));
      await adopting('used', uid);
      const said = await lab.withReason('used', 'Ready', 'StillInUse');
      expect(conditionOf(said, 'Ready')?.message).toContain('Pods: default/user');
      expect(isLive(volume.status.filesystemUUID)).toBe(true);
      expect(imagesIn(uid)).toEqual([`${uid}.img`]);
    }
    await deletePods(lab, 'user');
    expect(contentOf(await lab.ready('used'))).toBe('used');
  });

  it('C8 LoopbackVolume: a damaged image is adopted and reported as any other', async () => {
    const volume = await orphaned('broken');
    const imagePath = volume.status.imagePath ?? '';
    await kit.withoutAgent(() => {
      sh('umount', volume.status.mountPath ?? '');
      for (const loopPath of loopsOf(imagePath)) sh('losetup', '--detach', loopPath);
      sh('truncate', '--size=200M', imagePath);
    });
    await adopting('broken', volume.metadata.uid);
    const said = await lab.withReason('broken', 'Ready', 'ImageTruncated');
    expect(conditionOf(said, 'Damaged')?.status).toBe('True');
  });

  it('C8 LoopbackVolume: deleted before its adoption came to an end, nothing of it is left', async () => {
    const volume = await orphaned('short');
    const { uid } = volume.metadata;
    await kit.withoutAgent(async () => {
      await adopting('short', uid);
      const { metadata } = await lab.volumeThat('short', ({ status }) => status.nodeName === NODE);
      // As an agent leaves it that dies after the record.
      writeFileSync(recordPathOf(metadata.uid), JSON.stringify({ ...recordOf(uid), uid: metadata.uid, adopting: uid }));
      await lab.volumes.delete('default/short');
    });
    await lab.volumeGone('short');
    expect(imagesIn(uid)).toEqual([]);
    await kit.notListed(uid);
    expect(isLive(volume.status.filesystemUUID)).toBe(false);
  });
});
