import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { LoopbackVolume } from '../../src/api/loopback-volume.ts';
import { type AdoptionKit, adoptionKit } from '../integration/adoption/kit.ts';
import { type CacheKit, cacheKit, cloneOf, conditionOf } from '../integration/caches/kit.ts';
import { dataPathOf, isSettled, type Lab } from '../integration/lab.ts';
import { pathOf, type SnapshotKit, snapshotKit } from '../integration/snapshots/kit.ts';
import type { Subject } from './boundaries.ts';
import { manifestOf, writeTree } from './file-tree.ts';
import { expectHostToMatch } from './host-state.ts';
import type { SupervisedAgent } from './supervised-agent.ts';

const LIMIT_MS = 120_000;
const MiB = 1024 * 1024;

export type AdoptedKind = 'LoopbackVolume' | 'Snapshot' | 'BuildCache';

/** A volume with files, a committed Snapshot of them and a cache of that; their objects are lost and made anew under faults. */
export class CrashAdoption implements Subject {
  readonly agent: SupervisedAgent;
  readonly #lab: Lab;
  /** Of all objects: those of one node are a test's own. */
  readonly #name: string;
  readonly #kit: AdoptionKit;
  readonly #snapshots: SnapshotKit;
  readonly #caches: CacheKit;
  readonly #uids = new Map<AdoptedKind, string>();
  #manifest = '';
  /** What the kernel says of the subvolumes: it must stay so. */
  #uuids: readonly (string | undefined)[] = [];

  constructor(lab: Lab, agent: SupervisedAgent) {
    this.agent = agent;
    this.#lab = lab;
    this.#name = agent.nodeName;
    this.#kit = adoptionKit(lab, agent.nodeName);
    this.#snapshots = snapshotKit(lab);
    this.#caches = cacheKit(lab);
  }

  async start(): Promise<void> {
    await this.#lab.createVolume(this.#name, { size: '256Mi', nodeName: this.agent.nodeName });
    const dataPath = dataPathOf(await this.#volume());
    await writeTree(dataPath, MiB);
    this.#manifest = await manifestOf(dataPath);
    await this.#snapshots.create(this.#name, this.#name);
    await this.#caches.createCache(this.#name, this.#name, { seed: { snapshotRef: { name: this.#name } } });
    this.#uuids = (await this.#all()).uuids;
    await this.expectConvergence();
  }

  /** The object is gone from the API server, and nobody saw it go; its data is an orphan. */
  async lose(kind: AdoptedKind): Promise<void> {
    const object = `${kind}/${this.#name}`;
    this.#uids.set(kind, await this.#lab.kubectl(['get', object, '-o', 'jsonpath={.metadata.uid}']));
    const { controller } = this.#lab;
    // Else it puts its finalizer back, and the agent is asked to remove the data.
    controller.kill('SIGSTOP');
    try {
      await this.#lab.kubectl(['patch', object, '--type=merge', '--patch={"metadata":{"finalizers":null}}']);
      await this.#lab.kubectl(['delete', object]);
    } finally {
      controller.kill('SIGCONT');
    }
    await this.#kit.orphan(this.#uids.get(kind) ?? '');
  }

  async adopt(kind: AdoptedKind): Promise<void> {
    const manifest = {
      apiVersion: 'btrfs-operator.io/v1alpha1',
      kind,
      metadata: { namespace: 'default', name: this.#name },
      spec: {
        ...(kind === 'LoopbackVolume' ? { size: '256Mi' } : { volumeRef: { name: this.#name } }),
        source: { adopt: { uid: this.#uids.get(kind) } },
      },
    };
    await this.#lab.kubectl(['create', '-f', '-'], { stdin: JSON.stringify(manifest) });
  }

  async settled(): Promise<void> {
    await this.#all();
  }

  async expectConvergence(): Promise<void> {
    const { volume, snapshot, cache, uuids } = await this.#all();
    expectHostToMatch(this.agent.rootPath, [volume]);
    expect(uuids).toEqual(this.#uuids);
    const { mountPath = '' } = volume.status;
    const entriesOf = (area: string) => readdirSync(path.join(mountPath, area)).toSorted();
    expect(['snapshots', 'caches', 'staging'].map(entriesOf)).toEqual([
      [snapshot.metadata.uid],
      [cache.metadata.uid],
      [],
    ]);
    expect(entriesOf(`caches/${cache.metadata.uid}`)).toEqual(['1', 'record.json']);
    for (const dir of [dataPathOf(volume), pathOf(snapshot), `${mountPath}/caches/${cache.metadata.uid}/1`]) {
      expect(await manifestOf(dir)).toBe(this.#manifest);
    }
    await this.#kit.orphansThat((orphans) => orphans.length === 0);
  }

  /** That the cache of an adopted generation gives clones. */
  async expectClone(): Promise<void> {
    expect(await manifestOf(cloneOf(await this.#caches.startJob(this.#name, this.#name)))).toBe(this.#manifest);
  }

  async #all() {
    const volume = await this.#volume();
    const snapshot = await this.#snapshots.ready(this.#name, LIMIT_MS);
    const cache = await this.#caches.cacheThat(
      this.#name,
      (each) => conditionOf(each, 'Ready')?.status === 'True' && each.status.generations?.length === 1,
      LIMIT_MS,
    );
    const uuids = [volume.status.filesystemUUID, snapshot.status.uuid, cache.status.generations?.[0]?.uuid];
    return { volume, snapshot, cache, uuids };
  }

  #volume(): Promise<LoopbackVolume> {
    return this.#lab.volumeThat(
      this.#name,
      (each) => isSettled(each, 'True') && each.status.mountPath !== undefined,
      LIMIT_MS,
    );
  }
}
