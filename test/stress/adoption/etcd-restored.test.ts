import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { caches, controlPlane, kit, lab, snapshots, useAdoptionLab } from '../../integration/adoption/file-lab.ts';
import { NODE } from '../../integration/adoption/kit.ts';
import { cloneOf, conditionOf } from '../../integration/caches/kit.ts';
import { dataPathOf, conditionOf as volumeCondition } from '../../integration/lab.ts';
import { pathOf } from '../../integration/snapshots/kit.ts';

useAdoptionLab('own control plane');

const write = (dir: string, content: string) => writeFileSync(path.join(dir, 'file'), content);
const read = (dir: string) => readFileSync(path.join(dir, 'file'), 'utf8');
const adopt = (uid: string) => ({ source: { adopt: { uid } } });

/** Does this with the data of etcd. Nobody asks meanwhile: an API server refuses what it is asked before it knows all roles. */
async function withoutEtcd(work: (dataPath: string) => Promise<void>): Promise<void> {
  const operators = [kit.agent, kit.controller];
  for (const operator of operators) operator.kill('SIGSTOP');
  try {
    await controlPlane.withoutEtcd(work);
  } finally {
    for (const operator of operators) operator.kill('SIGCONT');
  }
}

/** A volume of this name, a writable Snapshot and a cache with a published generation in it, and a job at work: all write `name`. */
async function made(name: string, cacheName = name) {
  await lab.createVolume(name, { nodeName: NODE });
  const volume = await lab.ready(name);
  write(dataPathOf(volume), name);
  await snapshots.create(name, name, { access: 'ReadWrite' });
  const snapshot = await snapshots.ready(name);
  write(pathOf(snapshot), name);
  if (cacheName === name) await caches.createCache(name, name);
  write(cloneOf(await caches.startJob(`${name}-done`, cacheName)), name);
  await caches.endJob(`${name}-done`);
  const job = await caches.startJob(`${name}-job`, cacheName);
  write(cloneOf(job), name);
  await caches.cacheThat(cacheName, ({ status }) => status.clones?.includes(job.metadata.uid) === true);
  return { volume, snapshot, job };
}

it('C8 C9 agent: after etcd was restored from an older backup nothing is lost, and what is younger than it can be adopted', async () => {
  const old = await made('old');
  await lab.createVolume('ended', { size: '256Mi', nodeName: NODE });
  const ended = await lab.ready('ended');
  const backupPath = path.join(lab.dir, 'backup');
  await withoutEtcd((dataPath) => cp(dataPath, backupPath, { recursive: true }));

  const young = await made('young');
  const late = await caches.startJob('late', 'old');
  write(cloneOf(late), 'late');
  await caches.cacheThat('old', ({ status }) => status.clones?.includes(late.metadata.uid) === true);
  const youngCache = await caches.cacheThat('young', ({ status }) => status.currentGeneration === 2);
  await snapshots.create('late', 'old', { access: 'ReadWrite' });
  const lateSnapshot = await snapshots.ready('late');
  await lab.remove('ended');

  await withoutEtcd(async (dataPath) => {
    await rm(dataPath, { recursive: true });
    await cp(backupPath, dataPath, { recursive: true });
  });
  // Worse than the manual says: both go on with what they remember, for a while.
  await sleep(5_000);
  await kit.endOperators();
  await kit.startOperators();

  const lost = [young.volume, young.snapshot, youngCache, young.job, late, lateSnapshot];
  await Promise.all(lost.map(({ metadata }) => kit.orphan(metadata.uid)));
  for (const { volume, snapshot, job } of [old, young]) {
    const { name } = volume.metadata;
    expect([dataPathOf(volume), pathOf(snapshot), cloneOf(job)].map(read)).toEqual([name, name, name]);
  }
  expect(read(cloneOf(late))).toBe('late');
  const said = await lab.withReason('ended', 'Ready', 'BackingFileMissing');
  expect([volumeCondition(said, 'Ready')?.status, existsSync(ended.status.imagePath ?? '')]).toEqual(['False', false]);
  await lab.remove('ended');

  await caches.endJob('old-job');
  await caches.cacheThat('old', ({ status }) => status.currentGeneration === 3);
  expect(read(cloneOf(late))).toBe('late');
  await lab.createVolume('young', adopt(young.volume.metadata.uid));
  await snapshots.create('young', 'young', { access: 'ReadWrite', ...adopt(young.snapshot.metadata.uid) });
  await snapshots.create('late', 'old', { access: 'ReadWrite', ...adopt(lateSnapshot.metadata.uid) });
  await caches.createCache('young', 'young', adopt(youngCache.metadata.uid));
  const back = [dataPathOf(await lab.ready('young')), pathOf(await snapshots.ready('young'))];
  expect(back.map(read)).toEqual(['young', 'young']);
  await snapshots.ready('late');
  const cache = await caches.cacheThat('young', (each) => conditionOf(each, 'Ready')?.status === 'True');
  expect(cache.status.generations).toEqual(youngCache.status.generations);
  expect(read(cloneOf(await caches.startJob('next', 'young')))).toBe('young');
  // Their jobs are over, and nobody removes what they wrote.
  const clones = [young.job, late].map(({ metadata }) => metadata.uid).toSorted();
  const left = await kit.orphansThat((orphans) => orphans.length === clones.length);
  expect(left.map(({ uid }) => uid).toSorted()).toEqual(clones);
});
