import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { dataPathOf } from '../lab.ts';
import { isLive, loopsOf, sh } from '../recovery/host-view.ts';
import { createPod, deletePods } from '../recovery/pods.ts';
import { areasOf } from '../snapshots/on-disk.ts';
import { caches, kit, lab, snapshots, useAdoptionLab } from './file-lab.ts';
import { NODE } from './kit.ts';

useAdoptionLab();

const ANNOTATION = 'btrfs-operator.io/remove-orphans';
const annotate = (value: string) => lab.kubectl(['annotate', 'bn', NODE, `${ANNOTATION}=${value}`, '--overwrite']);
const eventOf = async (reason: string, text: string) => {
  const btrfsNode = await kit.btrfsNode();
  if (btrfsNode === undefined) throw new Error('no BtrfsNode');
  return await waitFor(
    async () => (await lab.eventsOf(btrfsNode)).find((event) => event.reason === reason && event.note?.includes(text)),
    { what: `event ${reason} with ${text}` },
  );
};
async function retained(name: string): Promise<LoopbackVolume> {
  await lab.createVolume(name, { size: '256Mi', nodeName: NODE, deletionPolicy: 'Retain' });
  const volume = await lab.ready(name);
  await lab.remove(name);
  await kit.orphan(volume.metadata.uid);
  return volume;
}
const recordPathOf = (uid: string) => path.join(lab.rootPath(NODE), 'records', `${uid}.json`);
/** A command of the agent deletes there, and waits for the kernel. */
const hangsIn = (mountPath: string) =>
  sh('ps', '-e', '-o', 'stat=,args=')
    .split('\n')
    .some((line) => line.startsWith('D') && line.includes('btrfs subvolume delete') && line.includes(mountPath));

describe('BtrfsNode: annotation remove-orphans', () => {
  it('C8 BtrfsNode: only the orphans that the annotation names are removed, an Event says so, and it stays as it is', async () => {
    const [going, staying] = [await retained('going'), await retained('staying')];
    await annotate(`no-uid,${going.metadata.uid}`);
    await kit.notListed(going.metadata.uid);
    expect([going.status.imagePath ?? '', recordPathOf(going.metadata.uid)].map(existsSync)).toEqual([false, false]);
    expect((await eventOf('OrphanRemoved', going.metadata.uid)).note).toContain('LoopbackVolume default/going');
    expect((await kit.btrfsNode())?.metadata.annotations?.[ANNOTATION]).toBe(`no-uid,${going.metadata.uid}`);
    await kit.orphan(staying.metadata.uid);
    expect(existsSync(staying.status.imagePath ?? '')).toBe(true);
  });

  it('C8 BtrfsNode: what an object has or adopts, and what pods use, is not removed, and an Event says why', async () => {
    await lab.createVolume('living', { size: '256Mi', nodeName: NODE });
    const living = await lab.ready('living');
    const wanted = await retained('wanted');
    await kit.withoutAgent(async () => {
      await lab.createVolume('wanted', {
        size: '256Mi',
        source: { adopt: { uid: wanted.metadata.uid } },
        nodeName: 'other',
      });
    });
    await lab.createVolume('used', { size: '256Mi', nodeName: NODE });
    const used = await lab.ready('used');
    await createPod(lab, 'user', dataPathOf(used));
    await kit.withoutAgent(() => kit.forget('LoopbackVolume/used'));
    await kit.orphan(used.metadata.uid);
    await annotate([living, wanted, used].map(({ metadata }) => metadata.uid).join(','));
    await eventOf('OrphanKept', 'default/wanted adopts it');
    await eventOf('OrphanKept', 'pods have it mounted: default/user');
    expect((await lab.ready('living')).status.mountPath).toBe(living.status.mountPath);
    expect([living, wanted, used].map(({ status }) => existsSync(status.imagePath ?? ''))).toEqual([true, true, true]);
    await deletePods(lab, 'user');
    await annotate(used.metadata.uid);
    await kit.notListed(used.metadata.uid);
    expect([existsSync(used.status.imagePath ?? ''), isLive(used.status.filesystemUUID)]).toEqual([false, false]);
  });

  it('C2 BtrfsNode: an image without a record goes when it is named, unless it is attached', async () => {
    const volume = await retained('unknown');
    const { uid } = volume.metadata;
    const imagePath = volume.status.imagePath ?? '';
    sh('rm', recordPathOf(uid));
    const loopPath = sh('losetup', '--find', '--show', imagePath);
    await annotate(uid);
    await eventOf('OrphanKept', `attached to ${loopPath}`);
    expect(loopsOf(imagePath)).toEqual([loopPath]);
    sh('losetup', '--detach', loopPath);
    await annotate(`${uid},again`);
    await kit.notListed(uid);
    expect(existsSync(imagePath)).toBe(false);
  });

  it('C8 BtrfsNode: Snapshots, caches and clones in a volume are removed by their uids, and nothing else of it', async () => {
    await lab.createVolume('vol', { nodeName: NODE });
    const { mountPath = '' } = (await lab.ready('vol')).status;
    await snapshots.create('snap', 'vol');
    await snapshots.create('kept', 'vol');
    await caches.createCache('cache', 'vol');
    const claim = await caches.startJob('job', 'cache');
    const [snap, kept, cache] = [
      await snapshots.ready('snap'),
      await snapshots.ready('kept'),
      await caches.cacheReady('cache'),
    ];
    await kit.withoutAgent(() => kit.forget('Snapshot/snap', 'BuildCacheClaim/job', 'BuildCache/cache'));
    const uids = [snap, cache, claim].map(({ metadata }) => metadata.uid);
    await Promise.all(uids.map((uid) => kit.orphan(uid)));
    writeFileSync(path.join(mountPath, 'data/file'), 'data');
    await annotate([...uids, kept.metadata.uid].join(','));
    await kit.notListed(...uids);
    expect(areasOf(mountPath).filter((entry) => entry.split('/').length === 2)).toEqual([
      `snapshots/${kept.metadata.uid}`,
    ]);
    expect((await snapshots.ready('kept')).status.uuid).toBe(kept.status.uuid);
    expect(existsSync(path.join(mountPath, 'data/file'))).toBe(true);
  });

  it('F16 BtrfsNode: exports of objects that were removed by force are listed and go when asked for, unfinished work goes by itself', async () => {
    await lab.createVolume('full', { size: '256Mi', nodeName: NODE });
    const full = await lab.ready('full');
    const exports = [{ name: 'all' }];
    for (const name of ['lost', 'inside', 'alive']) await snapshots.create(name, 'full', { exports });
    const [lost, inside, alive] = await Promise.all(
      ['lost', 'inside', 'alive'].map((name) => snapshots.withReason(name, 'Exported', 'Exported')),
    );
    const directoryOf = (uid = '') =>
      path.join(path.dirname(path.dirname(alive?.status.exports?.[0]?.file ?? '')), uid);
    const [lostPath, insidePath, alivePath] = [lost, inside, alive].map((each) => directoryOf(each?.metadata.uid));
    const [image, empty, broken] = [randomUUID(), randomUUID(), randomUUID()];
    const stagingOf = (uid = '') => path.join(full.status.mountPath ?? '', 'staging', uid);
    await kit.withoutAgent(async () => {
      await kit.forget('Snapshot/lost', 'Snapshot/inside');
      // Of one nothing is left but what was exported.
      sh('btrfs', 'subvolume', 'delete', `${full.status.mountPath}/snapshots/${lost?.metadata.uid}/ro`);
      for (const uid of [image, empty, broken]) mkdirSync(directoryOf(uid));
      writeFileSync(path.join(directoryOf(image), 'disk.img'), 'image');
      writeFileSync(path.join(directoryOf(broken), '.partial'), 'half a file');
      for (const name of ['more.btrfs.new', '.partial']) writeFileSync(path.join(lostPath ?? '', name), 'half a file');
      for (const uid of [lost?.metadata.uid, broken]) sh('btrfs', 'subvolume', 'create', stagingOf(uid));
    });
    const listed = await kit.orphan(lost?.metadata.uid ?? '');
    expect(listed).toMatchObject({
      kind: 'Snapshot',
      bytes: statSync(path.join(lostPath ?? '', 'all.btrfs')).blocks * 512,
    });
    expect(await kit.orphan(image)).toMatchObject({ kind: 'LoopbackVolume' });
    expect(await kit.orphan(inside?.metadata.uid ?? '')).toMatchObject({ kind: 'Snapshot', volume: 'full' });
    const unfinished = [empty, broken].map(directoryOf).concat([lost?.metadata.uid, broken].map(stagingOf));
    await waitFor(() => !unfinished.some((each) => existsSync(each)), { what: 'end of unfinished work' });
    await waitFor(() => readdirSync(lostPath ?? '').join() === 'all.btrfs', { what: 'end of an unfinished file' });
    expect(await kit.orphansThat(() => true)).not.toContainEqual(expect.objectContaining({ uid: broken }));
    await annotate(
      [lost, inside, alive]
        .map((each) => each?.metadata.uid)
        .concat(image)
        .join(','),
    );
    await kit.notListed(...[lost, inside].map((each) => each?.metadata.uid ?? ''), image);
    expect([lostPath, insidePath, directoryOf(image), alivePath].map((each = '') => existsSync(each))).toEqual([
      false,
      false,
      false,
      true,
    ]);
  });

  it('C8 BtrfsNode: a volume that objects still name is not removed', async () => {
    await lab.createVolume('named', { size: '256Mi', nodeName: NODE });
    const volume = await lab.ready('named');
    await snapshots.create('inside', 'named');
    await snapshots.ready('inside');
    await kit.withoutAgent(() => kit.forget('LoopbackVolume/named'));
    await kit.orphan(volume.metadata.uid);
    await annotate(volume.metadata.uid);
    await eventOf('OrphanKept', 'Snapshot default/inside is in a volume of its name');
    expect(existsSync(volume.status.imagePath ?? '')).toBe(true);
  });

  it('C8 BtrfsNode: a removal that hangs holds up neither another one nor what is said of the node', async () => {
    const names = ['stuck', 'free'];
    for (const name of names) await lab.createVolume(name, { size: '256Mi', nodeName: NODE });
    const { mountPath = '' } = (await lab.ready('stuck')).status;
    for (const name of names) await snapshots.create(name, name);
    const [stuck, free] = [await snapshots.ready('stuck'), await snapshots.ready('free')];
    await kit.withoutAgent(() => kit.forget('Snapshot/stuck', 'Snapshot/free'));
    for (const { metadata } of [stuck, free]) await kit.orphan(metadata.uid);
    sh('fsfreeze', '--freeze', mountPath);
    try {
      await annotate(stuck.metadata.uid);
      await waitFor(() => hangsIn(mountPath), { what: 'removal that hangs' });
      await annotate(`${stuck.metadata.uid},${free.metadata.uid}`);
      await kit.notListed(free.metadata.uid);
      const committedBytes = (await kit.btrfsNode())?.status.committedBytes ?? 0;
      await lab.createVolume('meanwhile', { size: '256Mi', nodeName: NODE });
      const hasGrown = async () => (await kit.btrfsNode())?.status.committedBytes === committedBytes + 256 * 1024 ** 2;
      await waitFor(hasGrown, { what: 'status of the node' });
      expect(hangsIn(mountPath)).toBe(true);
      await kit.orphan(stuck.metadata.uid);
    } finally {
      sh('fsfreeze', '--unfreeze', mountPath);
    }
    await kit.notListed(stuck.metadata.uid);
    for (const { metadata } of [stuck, free]) await eventOf('OrphanRemoved', metadata.uid);
  });
});
