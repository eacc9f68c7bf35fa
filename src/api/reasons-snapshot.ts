import {
  adoptionReasons,
  commonConditionTypes,
  commonReasons,
  sourceReasons,
  type TermTable,
  term,
} from './reasons.ts';

export const snapshotConditionTypes = {
  Scheduled: term(
    'True: the node of its volume is known (status.nodeName). False: not yet. Written by the controller, all others by the agent.',
  ),
  ...commonConditionTypes,
  Ready: term(
    'True: the subvolume is there, on disk, with the access that spec asks for. False: it is not, see reason and message. Unknown: its node is not known yet (see Scheduled) or cannot say.',
  ),
  Committed: term('True: read-only for ever, may be a parent. False: still writable.'),
  HasChildren: term('True: other Snapshots are children of this one; the message names them. Absent otherwise.'),
  InUse: term(
    'True: something has it mounted, and a commit or the deletion waits for that. Absent otherwise.',
    'Stop the pods that the message names, or unmount it.',
  ),
  NestedSubvolumes: term(
    'True: the source held subvolumes of its own; a snapshot has empty directories in their places. Absent otherwise.',
    'Take what you need of them by other means.',
  ),
  Exported: term('True: all streams of spec.exports are written. False: not all of them, see reason and message.'),
  Removed: term('True: nothing is left on the node, the object may go. False: deletion waits, see reason and message.'),
} as const satisfies TermTable;

/** Every reason that a condition of a Snapshot can have. */
export const snapshotReasons = {
  ...commonReasons,
  Placed: term('The Snapshot is on the node of its volume.'),
  VolumeNotFound: term('There is no LoopbackVolume of the name in spec.volumeRef.', 'Make it, or delete the Snapshot.'),
  VolumeNotPlaced: term('The volume has no node yet.', 'See condition Scheduled of the volume.'),
  VolumeNotReady: term(
    'The volume is not mounted, or read-only; the message says why.',
    'See the conditions of the volume.',
  ),
  Creating: term('The subvolume is being made.'),
  Transferring: term('Content is being received; see status.transfer.'),
  Committing: term('The Snapshot is being made read-only.'),
  Committed: term('The Snapshot is read-only for ever.'),
  Writable: term('The Snapshot may be changed; set spec.access to ReadOnly to commit it.'),
  ...sourceReasons,
  ...adoptionReasons,
  ParentMissing: term(
    'The stream is incremental and the volume does not have the subvolume that it builds on.',
    'Import that one first, or use a full stream.',
  ),
  DataMissing: term(
    'The subvolume was there and is gone from the volume; nothing is made in its place.',
    'Restore the volume, or delete the object.',
  ),
  WasCommitted: term(
    'The subvolume is read-only and cannot become writable again.',
    'Make a ReadWrite Snapshot with this one as source.snapshotRef.',
  ),
  InUse: term('Something has it mounted; the message names it.', 'Stop the pods, or unmount it.'),
  HasChildren: term('Other Snapshots are made of this one; deletion waits for them.', 'Delete them first.'),
  HasDependents: term('Something reads from it at the moment; deletion waits.', 'Wait, or delete what reads from it.'),
  NestedSubvolumes: term('The source held subvolumes of its own, which no snapshot contains.'),
  Exported: term('All streams are written.'),
  Exporting: term('A stream is being written.'),
  ExportFailed: term('A stream could not be written; it is tried again.', 'See the message.'),
  HostPressure: term('The file system of the node that holds the images is full.', 'Free space on the node.'),
  Removed: term('Nothing is left of the Snapshot on the node.'),
  Retained: term('The object may go; the subvolume stays in the volume (deletionPolicy Retain).'),
} as const satisfies TermTable;

export type SnapshotConditionType = keyof typeof snapshotConditionTypes;
export type SnapshotReason = keyof typeof snapshotReasons;
