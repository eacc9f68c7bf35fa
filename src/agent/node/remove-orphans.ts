import { type BtrfsNode, btrfsNodeType } from '../../api/btrfs-node.ts';
import { REMOVE_ORPHANS } from '../../api/group.ts';
import type { EventRecorder } from '../../kube/events.ts';
import type { KubeObject } from '../../kube/object.ts';
import { keyOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import { removeClone } from '../../storage/caches/claim.ts';
import { removeCache } from '../../storage/caches/remove.ts';
import type { Storage } from '../../storage/context.ts';
import { StorageError } from '../../storage/errors.ts';
import { homePath } from '../../storage/layout.ts';
import { removeSnapshot } from '../../storage/snapshots/remove.ts';
import type { OrphanData } from '../../storage/volumes/orphans.ts';
import { removeOrphanedVolume } from '../../storage/volumes/remove-orphaned.ts';
import type { PodsUsing } from '../volumes/users.ts';
import type { OrphanWatch } from './orphans.ts';

/** What there is of an object of any kind that can have data. */
export interface Owner extends KubeObject {
  readonly spec: {
    readonly source?: { readonly adopt?: { readonly uid: string } | undefined } | undefined;
    readonly volumeRef?: { readonly name: string } | undefined;
    readonly cacheRef?: { readonly name: string } | undefined;
  };
}

export interface RemoveOrphansOptions {
  readonly storage: Storage;
  readonly events: EventRecorder;
  readonly podsUsing: PodsUsing;
  /** By kind; asked anew each time. */
  readonly clients: Readonly<Record<OrphanData['kind'], Pick<ResourceClient<Owner>, 'list'>>>;
  readonly orphans: Pick<OrphanWatch, 'volumeOf' | 'look'>;
}

/**
 * Of these orphans those are gone that the annotation of the node names, and Events say so. What somebody has, wants or uses stays, and an
 * Event says why. The annotation is the user's: it is left as it is, and safe to repeat.
 */
export async function removeOrphans(
  options: RemoveOrphansOptions,
  btrfsNode: BtrfsNode,
  orphans: readonly OrphanData[],
): Promise<void> {
  const named = (btrfsNode.metadata.annotations?.[REMOVE_ORPHANS] ?? '').split(/[\s,]+/);
  // What lies in a volume before the volume.
  const wanted = orphans.filter(({ uid }) => named.includes(uid));
  for (const orphan of wanted.toSorted(
    (a, b) => Number(a.kind === 'LoopbackVolume') - Number(b.kind === 'LoopbackVolume'),
  )) {
    const { kind, namespace, name, uid } = orphan;
    const what = `${kind} ${name === undefined ? '' : `${namespace}/${name} `}(${uid})`;
    const subject = { ...btrfsNode, apiVersion: btrfsNodeType.apiVersion, kind: btrfsNodeType.kind };
    try {
      await proveUnwanted(options, orphan);
      await remove(options, orphan);
      options.events.record(subject, 'Normal', 'OrphanRemoved', 'Remove', `${what} is removed for good`);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      options.events.record(subject, 'Warning', 'OrphanKept', 'Remove', `${what} is not removed: ${error.message}`);
    }
  }
}

/** Read anew: nobody has it, will have it, or lives in it (rule 8). */
async function proveUnwanted({ clients }: RemoveOrphansOptions, orphan: OrphanData): Promise<void> {
  const { uid, kind, namespace, name } = orphan;
  const objects = await clients[kind].list();
  const owner = objects.find(({ metadata }) => metadata.uid === uid);
  if (owner !== undefined) throw wanted(`it is what ${kind} ${keyOf(owner)} has`);
  const heir = objects.find(({ spec }) => spec.source?.adopt?.uid === uid);
  if (heir !== undefined) throw wanted(`${kind} ${keyOf(heir)} adopts it; delete that first`);
  if (kind !== 'LoopbackVolume' || name === undefined) return;
  // Where a volume has the name now, they are in that.
  if (objects.some(({ metadata }) => metadata.namespace === namespace && metadata.name === name)) return;
  const living = (
    await Promise.all([clients.Snapshot.list({ namespace }), clients.BuildCache.list({ namespace })])
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

async function remove({ storage, podsUsing, orphans }: RemoveOrphansOptions, orphan: OrphanData): Promise<void> {
  const { uid, kind } = orphan;
  const volumeUid = kind === 'LoopbackVolume' ? uid : orphans.volumeOf(orphan);
  if (volumeUid === undefined) throw new StorageError('not-ready', 'its volume is not mounted any more');
  const volumePath = storage.layout.volumePath(volumeUid);
  const pods = await podsUsing(kind === 'LoopbackVolume' ? volumePath : `${volumePath}/${homePath(kind, uid)}`);
  if (pods.length > 0) throw new StorageError('in-use', `pods have it mounted: ${pods.join(', ')}; stop them`);
  if (kind === 'LoopbackVolume') await removeOrphanedVolume(storage, uid);
  else {
    const removeOne = { Snapshot: removeSnapshot, BuildCache: removeCache, BuildCacheClaim: removeClone }[kind];
    await storage.withTree(volumeUid, (tree) => removeOne(tree, uid));
  }
  orphans.look(volumeUid);
}
