import { isDeepStrictEqual } from 'node:util';
import type { BuildCache } from '../api/build-cache.ts';
import type { BuildCacheClaim } from '../api/build-cache-claim.ts';
import { findCondition, isTrue } from '../api/conditions.ts';
import type { LoopbackVolume } from '../api/loopback-volume.ts';
import type { PlacedStatus } from '../api/ownership.ts';
import type { Snapshot } from '../api/snapshot.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import type { Change } from '../kube/object-store.ts';
import type { Reconciler } from '../runtime/reconciler.ts';
import { cachesIn, claimsOf, lostClaims } from './build-caches/relations.ts';
import type { CacheListener } from './caches.ts';
import type { OrphanWatch } from './node/orphans.ts';
import type { Said } from './said.ts';
import type { SaidByKind } from './said-by-kind.ts';
import type { Cached } from './snapshots/options.ts';
import { isCommitted, referenceKey, snapshotsIn, sourceKey } from './snapshots/relations.ts';

/** Many objects at once change what is summed up of them once. */
const SUM_DELAY_MS = 1_000;
const CHILDREN_DELAY_MS = 200;

export interface TriggerOptions {
  readonly nodeName: string;
  readonly caches: {
    readonly volumes: Cached<LoopbackVolume>;
    readonly snapshots: Cached<Snapshot>;
    readonly buildCaches: Cached<BuildCache>;
    readonly claims: Cached<BuildCacheClaim>;
  };
  readonly queues: Queues;
  readonly orphans: Pick<OrphanWatch, 'look'>;
  readonly said: Omit<SaidByKind, 'btrfsNode'>;
}

interface AgentObject extends KubeObject {
  readonly status: PlacedStatus & { readonly observedGeneration?: number | undefined };
}

/** The loops of an agent, by what they reconcile. */
export interface Queues {
  readonly volumes: Reconciler;
  readonly snapshots: Reconciler;
  readonly buildCaches: Reconciler;
  readonly claims: Reconciler;
  readonly node: Reconciler;
}

export interface Triggers extends CacheListener {
  /** Everything in the caches is looked at, after what changes meanwhile. */
  enqueueAll(): void;
  /** What lives in a volume can be worked on. */
  volumeMounted(volume: LoopbackVolume): void;
  /** How full a volume is was looked at. */
  volumeUsage(volume: LoopbackVolume, freePercent: number): void;
  /** Something about the volume that no watch tells has changed. */
  enqueueVolume(key: string): void;
  /** The cache has something new to count. */
  cacheOutcome(key: string): void;
  /** The node has something new to tell. */
  nodeChanged(): void;
}

/** Which keys a change makes worth a pass. */
export function createTriggers(options: TriggerOptions): Triggers {
  const { nodeName, caches, queues, orphans, said } = options;
  const enqueueContentOf = (volume: LoopbackVolume) => {
    for (const snapshot of snapshotsIn(volume, caches.snapshots)) queues.snapshots.enqueue(keyOf(snapshot));
    for (const cache of cachesIn(volume, caches.buildCaches)) {
      queues.buildCaches.enqueue(keyOf(cache));
      for (const claim of claimsOf(cache, caches.claims)) queues.claims.enqueue(keyOf(claim));
    }
    for (const claim of lostClaims(volume, caches)) queues.claims.enqueue(keyOf(claim));
  };
  return {
    volumeChanged(change) {
      const { kind, object } = change;
      if (kind !== 'updated' || readiness(object) !== readiness(change.previous)) enqueueContentOf(object);
      if (enqueueIfAsked(queues.volumes, change, said.volumes))
        queues.node.enqueue(nodeName, { afterMs: SUM_DELAY_MS });
    },
    snapshotChanged(change) {
      wakeRelated(options, change);
      if (change.kind === 'deleted' || hasAdopted(change, ({ status }) => status.uuid))
        lookForLeft(options, change.object);
      enqueueIfAsked(queues.snapshots, change, said.snapshots);
    },
    buildCacheChanged(change) {
      const { kind, object } = change;
      if (kind === 'deleted') {
        enqueueVolumeOf(options, object);
        lookForLeft(options, object);
      }
      if (hasAdopted(change, ({ status }) => status.currentGeneration)) lookForLeft(options, object);
      if (kind !== 'updated' || offer(object) !== offer(change.previous)) {
        for (const claim of claimsOf(object, caches.claims)) queues.claims.enqueue(keyOf(claim));
      }
      enqueueIfAsked(queues.buildCaches, change, said.buildCaches);
    },
    claimChanged(change) {
      const { kind, object } = change;
      const cacheKey = referenceKey(object, object.spec.cacheRef);
      if (kind !== 'updated' || object.status.baseGeneration !== change.previous.status.baseGeneration) {
        queues.buildCaches.enqueue(cacheKey, { afterMs: SUM_DELAY_MS });
      }
      const cache = caches.buildCaches.get(cacheKey);
      if (kind === 'deleted' && cache?.metadata.deletionTimestamp !== undefined) queues.buildCaches.enqueue(cacheKey);
      if (kind === 'deleted' && cache !== undefined) enqueueVolumeOf(options, cache);
      if (kind === 'deleted') lookForLeft(options, cache);
      enqueueIfAsked(queues.claims, change, said.claims);
    },
    btrfsNodeChanged: () => queues.node.enqueue(nodeName),
    volumeMounted(volume) {
      enqueueContentOf(volume);
      orphans.look(volume.metadata.uid);
    },
    volumeUsage(volume, freePercent) {
      for (const cache of cachesIn(volume, caches.buildCaches)) {
        const isShort = findCondition(cache.status.conditions, 'CapacityPressure') !== undefined;
        if (freePercent < cache.spec.minFreePercent !== isShort) queues.buildCaches.enqueue(keyOf(cache));
      }
    },
    enqueueVolume: (key) => queues.volumes.enqueue(key),
    nodeChanged: () => queues.node.enqueue(nodeName, { afterMs: CHILDREN_DELAY_MS }),
    cacheOutcome: (key) => queues.buildCaches.enqueue(key, { afterMs: CHILDREN_DELAY_MS }),
    enqueueAll() {
      queues.node.enqueue(nodeName);
      for (const kind of ['volumes', 'snapshots', 'buildCaches', 'claims'] as const) {
        for (const object of caches[kind].values()) {
          queues[kind].enqueue(keyOf(object), isAtRest(object) ? { priority: 'low' } : {});
        }
      }
    },
  };
}

/** What is being done for an older wish is not worth finishing. */
function enqueueIfAsked<T extends AgentObject>(queue: Reconciler, change: Change<T>, said: Said<T>): boolean {
  if (!asksForWork(change)) {
    if (isNudged(change) || !said.isIn(change.object)) queue.enqueue(keyOf(change.object));
    return false;
  }
  if (change.kind === 'updated') queue.interrupt(keyOf(change.object));
  else queue.enqueue(keyOf(change.object));
  return true;
}

/** A volume that is being deleted waits for the last of what lives in it; any other does not care. */
function enqueueVolumeOf(
  { caches, queues }: TriggerOptions,
  object: KubeObject & { readonly spec: { readonly volumeRef: { readonly name: string } } },
): void {
  const key = referenceKey(object, object.spec.volumeRef);
  if (caches.volumes.get(key)?.metadata.deletionTimestamp === undefined) return;
  queues.volumes.enqueue(key, { afterMs: CHILDREN_DELAY_MS });
}

/** An object is gone: what it had is gone too, was kept, or was forgotten. */
function lookForLeft(
  { caches, orphans }: TriggerOptions,
  object: (KubeObject & { readonly spec: { readonly volumeRef: { readonly name: string } } }) | undefined,
): void {
  const volume = object === undefined ? undefined : caches.volumes.get(referenceKey(object, object.spec.volumeRef));
  orphans.look(volume?.metadata.uid);
}

/** What it has now was an orphan. */
function hasAdopted<T extends Snapshot | BuildCache>(change: Change<T>, contentOf: (object: T) => unknown): boolean {
  if (change.kind !== 'updated' || change.object.spec.source?.adopt === undefined) return false;
  return contentOf(change.object) !== contentOf(change.previous);
}

/** Those that wait for a Snapshot, and those that count it. */
function wakeRelated(options: TriggerOptions, change: Change<Snapshot>): void {
  const { caches, queues } = options;
  const { kind, object } = change;
  const parent = sourceKey(object);
  if (kind !== 'updated' && parent !== undefined) queues.snapshots.enqueue(parent, { afterMs: CHILDREN_DELAY_MS });
  if (kind === 'deleted') enqueueVolumeOf(options, object);
  if (kind === 'updated' && isCommitted(object) === isCommitted(change.previous)) return;
  const key = keyOf(object);
  for (const other of caches.snapshots.values()) if (sourceKey(other) === key) queues.snapshots.enqueue(keyOf(other));
  for (const volume of caches.volumes.values()) if (sourceKey(volume) === key) queues.volumes.enqueue(keyOf(volume));
  for (const cache of caches.buildCaches.values()) {
    const { seed } = cache.spec;
    if (seed !== undefined && referenceKey(cache, seed.snapshotRef) === key) queues.buildCaches.enqueue(keyOf(cache));
  }
}

/** What claims that wait for their cache look at. */
function offer({ status, spec, metadata }: BuildCache): string {
  const ready = findCondition(status.conditions, 'Ready')?.status;
  return [ready, status.currentGeneration, spec.pinnedGeneration, metadata.deletionTimestamp].join();
}

/** What those who live in a volume wait for: that it can be worked on, or that it goes. */
function readiness({ metadata, status }: LoopbackVolume): string {
  const ready = findCondition(status.conditions, 'Ready')?.status;
  return [status.mountPath, ready, metadata.deletionTimestamp].join();
}

/** Its status says that all is as its spec wants: it can wait for those of which that is not so. */
function isAtRest({ metadata, status }: AgentObject): boolean {
  return (
    status.observedGeneration === metadata.generation &&
    metadata.deletionTimestamp === undefined &&
    findCondition(status.conditions, 'Ready')?.status === 'True' &&
    findCondition(status.conditions, 'Reconciling') === undefined
  );
}

/** Labels or annotations have changed of what is in trouble: that is how a person says "now", and then no pause is waited for. */
function isNudged<T extends AgentObject>({ object, previous }: Change<T>): boolean {
  if (previous === undefined || isAtRest(object)) return false;
  const marksOf = ({ metadata: { labels, annotations } }: KubeObject) => [labels, annotations];
  return !isDeepStrictEqual(marksOf(object), marksOf(previous));
}

/**
 * A status that we wrote ourselves asks for nothing, nor do labels and annotations; the controller's NodeLost does, and so does whoever
 * takes back that an object is removed.
 */
function asksForWork<T extends KubeObject & { readonly status: PlacedStatus }>(change: Change<T>): boolean {
  if (change.kind !== 'updated') return true;
  const { object, previous } = change;
  return (
    object.metadata.generation !== previous.metadata.generation ||
    object.metadata.deletionTimestamp !== previous.metadata.deletionTimestamp ||
    (isTrue(previous.status.conditions, 'Removed') && !isTrue(object.status.conditions, 'Removed')) ||
    object.status.conditions?.some(({ reason }) => reason === 'NodeLost') === true
  );
}
