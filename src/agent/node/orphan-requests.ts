import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { REMOVE_ORPHANS } from '../../api/group.ts';
import type { OrphanData } from '../../storage/volumes/orphans.ts';

/** Which orphans the user wants removed, as the last pass over the BtrfsNode has read it. */
export interface OrphanRequests {
  /**
   * Takes over what the annotation names of these orphans (undefined: nobody knows them yet). Those are enqueued that were not named
   * or not there before, and all of them when the annotation was written anew. What was tried is tried again in its own time. Unfinished
   * work of objects with these uids goes without being asked for.
   */
  read(btrfsNode: BtrfsNode, orphans: readonly OrphanData[] | undefined, unfinished: Iterable<string>): void;
  /** The BtrfsNode that was read if it names this orphan. */
  askedFor(uid: string): BtrfsNode | undefined;
}

export function createOrphanRequests(enqueue: (uid: string) => void): OrphanRequests {
  let read: BtrfsNode | undefined;
  /** The annotation for which an orphan was enqueued. */
  const enqueued = new Map<string, string>();
  return {
    read(btrfsNode, orphans, unfinished) {
      read = btrfsNode;
      if (orphans === undefined) return;
      const wanted = namedBy(btrfsNode);
      const there = new Set([...orphans.map(({ uid }) => uid).filter((uid) => wanted.has(uid)), ...unfinished]);
      for (const uid of enqueued.keys()) if (!there.has(uid)) enqueued.delete(uid);
      const annotation = annotationOf(btrfsNode);
      for (const uid of there) {
        if (enqueued.get(uid) === annotation) continue;
        enqueued.set(uid, annotation);
        enqueue(uid);
      }
    },
    askedFor: (uid) => (read !== undefined && namedBy(read).has(uid) ? read : undefined),
  };
}

function namedBy(btrfsNode: BtrfsNode): ReadonlySet<string> {
  return new Set(annotationOf(btrfsNode).split(/[\s,]+/));
}

function annotationOf({ metadata }: BtrfsNode): string {
  return metadata.annotations?.[REMOVE_ORPHANS] ?? '';
}
