import { type BtrfsNode, btrfsNodeType } from '../../api/btrfs-node.ts';
import type { EventRecorder } from '../../kube/events.ts';
import type { KubeObject } from '../../kube/object.ts';
import { keyOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import { type Outcome, settledAfter, waiting } from '../../runtime/outcome.ts';
import { removeClaim } from '../../storage/caches/claim.ts';
import { removeCache } from '../../storage/caches/remove.ts';
import type { Storage } from '../../storage/context.ts';
import { StorageError } from '../../storage/errors.ts';
import { removeExports } from '../../storage/exports.ts';
import { homePath } from '../../storage/layout.ts';
import { removeSnapshot } from '../../storage/snapshots/remove.ts';
import type { OrphanData } from '../../storage/volumes/orphans.ts';
import { removeOrphanedVolume } from '../../storage/volumes/remove-orphaned.ts';
import { isRetried } from '../refusal.ts';
import type { PodsUsing } from '../volumes/users.ts';
import type { OrphanRequests } from './orphan-requests.ts';
import type { OrphanWatch } from './orphans.ts';
import { removeUnfinished } from './remove-unfinished.ts';

/** What there is of an object of any kind that can have data. */
export interface Owner extends KubeObject {
  readonly spec: {
    readonly source?: { readonly adopt?: { readonly uid: string } | undefined } | undefined;
    readonly volumeRef?: { readonly name: string } | undefined;
    readonly cacheRef?: { readonly name: string } | undefined;
  };
}

export interface OrphanReconcilerOptions {
  readonly storage: Storage;
  readonly events: EventRecorder;
  readonly podsUsing: PodsUsing;
  /** By kind; asked anew each time. */
  readonly clients: Readonly<Record<OrphanData['kind'], Pick<ResourceClient<Owner>, 'list'>>>;
  readonly orphans: Pick<OrphanWatch, 'found' | 'volumeOf' | 'unfinished' | 'look'>;
  readonly requests: Pick<OrphanRequests, 'askedFor'>;
  /** What waited for an orphan in it is worth another pass. */
  readonly wake: (uid: string) => void;
}

/** Whoever has, wants or uses an orphan is asked again so often: no watch of this node tells of all of them. */
const LOOK_AGAIN_MS = 30_000;
const NOT_KNOWN_MS = 1_000;

/**
 * The orphan of this uid is gone if the user asks for that, and an Event says so. What somebody has, wants or uses stays, and an
 * Event says why. What lies in a volume goes before the volume, or has been tried. Of any other uid unfinished work goes. Safe to
 * repeat.
 */
export function createOrphanReconcile(
  options: OrphanReconcilerOptions,
): (uid: string, signal: AbortSignal) => Promise<Outcome> {
  const { orphans, requests, wake } = options;
  const kept = new Set<string>();
  return async (uid, signal) => {
    const btrfsNode = requests.askedFor(uid);
    const found = btrfsNode === undefined ? [] : await orphans.found(btrfsNode.status.orphans ?? []);
    if (found === undefined) return waiting(NOT_KNOWN_MS, 'Pending', 'it is not known yet which objects there are');
    const orphan = found.find((each) => each.uid === uid);
    if (btrfsNode === undefined || orphan === undefined) {
      kept.delete(uid);
      return await removeUnfinished(options, uid, signal);
    }
    const isFirst = (other: OrphanData) =>
      orphans.volumeOf(other) === uid && requests.askedFor(other.uid) !== undefined && !kept.has(other.uid);
    const first = found.find(isFirst);
    if (first !== undefined) return waiting(LOOK_AGAIN_MS, 'HasDependents', `${nameOf(first)} goes first`);
    const volumeUid = orphans.volumeOf(orphan);
    try {
      return await removeAndTell(options, { btrfsNode, orphan, kept }, signal);
    } finally {
      if (volumeUid !== undefined && requests.askedFor(volumeUid) !== undefined) wake(volumeUid);
    }
  };
}

interface Removal {
  readonly btrfsNode: BtrfsNode;
  readonly orphan: OrphanData;
  /** Of these an attempt has failed, which was said. */
  readonly kept: Set<string>;
}

async function removeAndTell(
  options: OrphanReconcilerOptions,
  { btrfsNode, orphan, kept }: Removal,
  signal: AbortSignal,
): Promise<Outcome> {
  const { uid } = orphan;
  const subject = { ...btrfsNode, apiVersion: btrfsNodeType.apiVersion, kind: btrfsNodeType.kind };
  try {
    await proveUnwanted(options, orphan, signal);
    const step = await remove(options, orphan, signal);
    // What was gone already is news only to whom an attempt was told to have failed.
    if (step === 'removed' || kept.has(uid)) {
      options.events.record(subject, 'Normal', 'OrphanRemoved', 'Remove', `${nameOf(orphan)} is removed for good`);
    }
    kept.delete(uid);
    return settledAfter(step);
  } catch (error) {
    if (signal.aborted || !(error instanceof StorageError)) throw error;
    kept.add(uid);
    const message = `${nameOf(orphan)} is not removed: ${error.message}`;
    options.events.record(subject, 'Warning', 'OrphanKept', 'Remove', message);
    if (isRetried(error) || error.code === 'timeout') throw error;
    return waiting(LOOK_AGAIN_MS, error.reason ?? 'OrphanKept', error.message);
  }
}

function nameOf({ kind, namespace, name, uid }: OrphanData): string {
  return `${kind} ${name === undefined ? '' : `${namespace}/${name} `}(${uid})`;
}

/** Read anew: nobody has it, will have it, or lives in it (rule 8). */
async function proveUnwanted(
  { clients }: OrphanReconcilerOptions,
  orphan: OrphanData,
  signal: AbortSignal,
): Promise<void> {
  const { uid, kind, namespace, name } = orphan;
  // Exported files do not tell which of the two they are of.
  const isEither = kind === 'LoopbackVolume' || kind === 'Snapshot';
  for (const each of isEither ? (['LoopbackVolume', 'Snapshot'] as const) : [kind]) {
    const objects = await clients[each].list({ signal });
    const owner = objects.find(({ metadata }) => metadata.uid === uid);
    if (owner !== undefined) throw wanted(`it is what ${each} ${keyOf(owner)} has`);
    const heir = objects.find(({ spec }) => spec.source?.adopt?.uid === uid);
    if (heir !== undefined) throw wanted(`${each} ${keyOf(heir)} adopts it; delete that first`);
  }
  if (kind !== 'LoopbackVolume' || name === undefined) return;
  // Where a volume has the name now, they are in that.
  const namesakes = await clients.LoopbackVolume.list({ namespace, signal });
  if (namesakes.some(({ metadata }) => metadata.name === name)) return;
  const living = (
    await Promise.all([clients.Snapshot.list({ namespace, signal }), clients.BuildCache.list({ namespace, signal })])
  ).flat();
  const dependent = living.find(({ spec }) => spec.volumeRef?.name === name);
  if (dependent === undefined) return;
  throw wanted(
    `${dependent.kind} ${keyOf(dependent)} is in a volume of its name; delete that first, or adopt the volume`,
  );
}

function wanted(message: string): StorageError {
  return new StorageError('conflict', message);
}

async function remove(
  { storage, podsUsing, orphans }: OrphanReconcilerOptions,
  orphan: OrphanData,
  signal: AbortSignal,
): Promise<'removed' | 'was gone already'> {
  const { uid, kind } = orphan;
  const volumeUid = kind === 'LoopbackVolume' ? uid : orphans.volumeOf(orphan);
  if (volumeUid === undefined) {
    // What lies in a volume has no size of its own: this is exported files, and nothing else.
    if (kind === 'Snapshot' && orphan.bytes !== undefined) return await removeExports(storage, uid);
    throw new StorageError('not-ready', 'its volume is not mounted any more');
  }
  const volumePath = storage.layout.volumePath(volumeUid);
  const pods = await podsUsing(kind === 'LoopbackVolume' ? volumePath : `${volumePath}/${homePath(kind, uid)}`);
  if (pods.length > 0) throw new StorageError('in-use', `pods have it mounted: ${pods.join(', ')}; stop them`);
  const step =
    kind === 'LoopbackVolume'
      ? await removeOrphanedVolume(storage, uid, signal)
      : await storage.withTree(volumeUid, (tree) => removers[kind](tree, uid));
  if (kind === 'Snapshot') await removeExports(storage, uid);
  orphans.look(volumeUid);
  return step;
}

const removers = { Snapshot: removeSnapshot, BuildCache: removeCache, BuildCacheClaim: removeClaim };
