import { btrfsNodeDefinition } from './btrfs-node.ts';
import { buildCacheDefinition } from './build-cache.ts';
import { buildCacheClaimDefinition } from './build-cache-claim.ts';
import type { KindDefinition } from './kind.ts';
import { loopbackVolumeDefinition } from './loopback-volume.ts';
import { snapshotDefinition } from './snapshot.ts';

/** Every kind of the group, in the order of the API reference. */
export const kinds: readonly KindDefinition[] = [
  loopbackVolumeDefinition,
  snapshotDefinition,
  buildCacheDefinition,
  buildCacheClaimDefinition,
  btrfsNodeDefinition,
];
