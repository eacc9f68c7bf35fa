import type { BtrfsNode } from '../api/btrfs-node.ts';
import type { BuildCache } from '../api/build-cache.ts';
import type { BuildCacheClaim } from '../api/build-cache-claim.ts';
import type { LoopbackVolume } from '../api/loopback-volume.ts';
import type { Snapshot } from '../api/snapshot.ts';
import { ownedPart as ownedPartOfCache } from './build-caches/status.ts';
import { createSaid } from './said.ts';

export type SaidByKind = ReturnType<typeof createSaidByKind>;

/** What this process has said in the statuses of all kinds. */
export function createSaidByKind() {
  return {
    volumes: createSaid<LoopbackVolume>(),
    snapshots: createSaid<Snapshot>(),
    buildCaches: createSaid<BuildCache>(ownedPartOfCache),
    claims: createSaid<BuildCacheClaim>(),
    // Nobody places it: all of its status is the agent's.
    btrfsNode: createSaid<BtrfsNode>(({ status }) => status),
  };
}
