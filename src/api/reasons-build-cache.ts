import { adoptionReasons, commonConditionTypes, commonReasons, type TermTable, term } from './reasons.ts';

export const buildCacheConditionTypes = {
  Scheduled: term(
    'True: the node of its volume is known (status.nodeName). False: not yet. Written by the controller, all others by the agent.',
  ),
  ...commonConditionTypes,
  Ready: term(
    'True: claims get clones. False: they do not, see reason and message. Unknown: its node is not known yet (see Scheduled) or cannot say.',
  ),
  CapacityPressure: term(
    'True: less of the volume is free than minFreePercent asks for, and no generation may go any more. Absent otherwise.',
    'Release claims, lower keepGenerations, or raise the size of the volume.',
  ),
  Removed: term('True: nothing is left on the node, the object may go. False: deletion waits, see reason and message.'),
} as const satisfies TermTable;

export const buildCacheClaimConditionTypes = {
  Scheduled: term(
    'True: the node of its cache is known (status.nodeName). False: not yet. Written by the controller, all others by the agent.',
  ),
  ...commonConditionTypes,
  Ready: term(
    'True: the clone is there and belongs to the job alone; or the release was judged, see status.outcome. False: not yet, see reason and message.',
  ),
  Released: term('True: the release was judged; reason and status.outcome say how. Absent before.'),
  InUse: term(
    'True: something still has the clone mounted, and its removal waits for that. Absent otherwise.',
    'Stop the pods that the message names, or unmount it.',
  ),
  Removed: term('True: nothing is left on the node, the object may go. False: deletion waits, see reason and message.'),
} as const satisfies TermTable;

const volumeReasons = {
  VolumeNotReady: term(
    'The volume is not mounted, or read-only; the message says why.',
    'See the conditions of the volume.',
  ),
  InUse: term('Something has it mounted; the message names it.', 'Stop the pods, or unmount it.'),
};

/** Every reason that a condition of a BuildCache can have. */
export const buildCacheReasons = {
  ...commonReasons,
  ...volumeReasons,
  ...adoptionReasons,
  Placed: term('The BuildCache is on the node of its volume.'),
  VolumeNotFound: term(
    'There is no LoopbackVolume of the name in spec.volumeRef.',
    'Make it, or delete the BuildCache.',
  ),
  VolumeNotPlaced: term('The volume has no node yet.', 'See condition Scheduled of the volume.'),
  Creating: term('The first generation is being made.'),
  SourceNotFound: term('There is no Snapshot of the name in spec.seed.snapshotRef.', 'Make it; this goes on then.'),
  SourceNotCommitted: term('The Snapshot in spec.seed is still writable.', 'Set its spec.access to ReadOnly.'),
  SourceElsewhere: term(
    'The Snapshot in spec.seed is in another volume.',
    'Make a Snapshot of it in the volume of the cache, and a new BuildCache with that one.',
  ),
  GenerationNotFound: term(
    'There is no generation of the number in spec.pinnedGeneration; claims wait.',
    'Pin one of status.generations, or remove pinnedGeneration.',
  ),
  DataMissing: term(
    'The generations were there and are gone from the volume; nothing is made in their place.',
    'Restore the volume, set resetToken to start empty, or delete the object.',
  ),
  RecordDamaged: term('The record of the cache cannot be read.', 'Restore the volume, or delete the object.'),
  TooLittleFree: term('Less of the volume is free than minFreePercent asks for.'),
  HasDependents: term(
    'Claims hold clones of the cache; deletion waits for them. The message names the first ten.',
    'Release or delete them.',
  ),
  Removed: term('Nothing is left of the cache on the node.'),
} as const satisfies TermTable;

/** Why a release had its outcome: status.reason of a BuildCacheClaim. */
const releaseReasons = {
  Published: term('The clone is a generation of its cache now.'),
  NewerGeneration: term('Another claim had published since this one started (publishPolicy FirstWriterWins).'),
  Unchanged: term('The clone is as it was when it was made.'),
  ReadOnly: term('A ReadOnly clone cannot have changed.'),
  DiscardAsked: term('spec.release is Discard.'),
  NotReleased: term('The claim was deleted without a release.'),
  PublishPolicyNever: term('publishPolicy of the cache is Never.'),
  CachePinned: term('The cache is pinned to a generation; nothing is published.', 'Remove pinnedGeneration.'),
  CacheReset: term('The cache was reset after the clone was made.'),
  CacheDeleted: term('The cache was deleted, perhaps made anew, after the clone was made.'),
  CloneMissing: term('The clone is gone from the volume.'),
  RecordDamaged: term(
    'The record of the claim, or that of its cache, cannot be read, so nobody knows what the clone started from.',
    'Make a new claim.',
  ),
  NeverMade: term('The claim was released before it had a clone.'),
  NestedSubvolumes: term(
    'The job made subvolumes in the clone; a generation would lack what is in them.',
    'Let the job delete them, or use directories.',
  ),
} as const satisfies TermTable;

/** Every reason that a condition of a BuildCacheClaim can have. */
export const buildCacheClaimReasons = {
  ...commonReasons,
  ...volumeReasons,
  Placed: term('The claim is on the node of its cache.'),
  CacheNotFound: term('There is no BuildCache of the name in spec.cacheRef.', 'Make it, or delete the claim.'),
  CacheNotPlaced: term('The cache has no node yet.', 'See condition Scheduled of the cache.'),
  CacheNotReady: term('The cache gives no clones at the moment; the message says why.', 'See its conditions.'),
  Cloning: term('The clone is being made.'),
  Releasing: term('The release is being judged.'),
  DataMissing: term('The clone was there and is gone from the volume; none is made in its place.', 'Make a new claim.'),
  Superseded: term('Another claim had published before; see status.reason.'),
  Discarded: term('The clone was thrown away; see status.reason.'),
  ...releaseReasons,
  Removed: term('Nothing is left of the claim on the node.'),
} as const satisfies TermTable;

export type BuildCacheConditionType = keyof typeof buildCacheConditionTypes;
export type BuildCacheReason = keyof typeof buildCacheReasons;
export type BuildCacheClaimConditionType = keyof typeof buildCacheClaimConditionTypes;
export type BuildCacheClaimReason = keyof typeof buildCacheClaimReasons;
export type ReleaseReason = keyof typeof releaseReasons;
