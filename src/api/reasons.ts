import { MIN_KERNEL } from './group.ts';

/** A word of the API: what it means, and what a person does about it (empty: nothing). */
export interface Term {
  readonly meaning: string;
  readonly action: string;
}

export type TermTable = Readonly<Record<string, Term>>;

export const term = (meaning: string, action = ''): Term => ({ meaning, action });

/** Condition types that mean the same on every kind (kstatus reads Ready, Reconciling and Stalled). */
export const commonConditionTypes = {
  Ready: term(
    'True: usable as its spec says (mounted, or put away); see Resized for its size. False: it is not, see reason and message. Unknown: not placed yet (see Scheduled), or its node cannot say.',
  ),
  Reconciling: term('True while work is going on; absent otherwise.'),
  Stalled: term('True while only a person can mend what is wrong; absent otherwise.', 'Do what the message says.'),
};

export const loopbackVolumeConditionTypes = {
  Scheduled: term(
    'True: a node was chosen (status.nodeName). False: none fits. Written by the controller, all others by the agent.',
  ),
  ...commonConditionTypes,
  Mounted: term('True: mounted on its node at status.mountPath.'),
  Resized: term(
    'True: the volume has the size that spec asks for. False: a change of size was refused or is going on.',
  ),
  CapacityPressure: term('True: the volume is almost full.', 'Delete data, or raise spec.size.'),
  Damaged: term(
    'True: btrfs reported errors of the device or of checksums.',
    'Save what can be read; make a new volume.',
  ),
  Exported: term('True: the file of spec.export is written. False: not yet, see reason and message.'),
  Removed: term('True: nothing is left on the node, the object may go. False: deletion waits, see reason and message.'),
} as const satisfies TermTable;

export const btrfsNodeConditionTypes = {
  ...commonConditionTypes,
  KernelSupported: term(
    `True: the kernel is ${MIN_KERNEL} or newer and has btrfs and loop devices. False: nothing is placed here.`,
    'Update the kernel of the node.',
  ),
  HostPressure: term(
    'True: the file system that holds the images is almost full; new volumes and growth are refused.',
    'Free space on the node, minimize or delete volumes, remove orphans.',
  ),
} as const satisfies TermTable;

export const commonReasons = {
  Pending: term('Nobody has looked at the object yet.', 'If it stays so, see that controller and agents run.'),
  Ready: term('All is as the spec says.'),
  NodeLost: term(
    'The agent of the node has stopped renewing its Lease; what is on the node is unknown.',
    'Bring the node or its agent back.',
  ),
  CommandFailed: term(
    'A command on the node failed; the message has its end. It is tried again.',
    'See the message and the log of the agent.',
  ),
  CommandStuck: term(
    'A command on the node does not come to its end; the volume is left alone until it does.',
    'Look for processes in D state; often only a restart of the node helps.',
  ),
  OutOfSpace: term('The volume is full.', 'Raise the size of the volume, or delete data or Snapshots in it.'),
  InternalError: term('The operator met a case that it does not know.', 'Report it with the log.'),
  Unreadable: term(
    'A field of spec has a value that this version of the operator cannot read; the object is left alone, and can be deleted.',
    'Correct the field that the message names, or update the operator.',
  ),
  Deleting: term('The object is being deleted.', 'See condition Removed, and Stalled if it is there.'),
};

/** Why content from somewhere else does not come: the same for every kind that has a spec.source. */
export const sourceReasons = {
  SourceNotFound: term(
    'There is no Snapshot of the name in spec.source.snapshotRef.',
    'Make it; this one goes on then.',
  ),
  SourceNotCommitted: term('The source is still writable.', 'Set spec.access of the source to ReadOnly.'),
  SourceNotReady: term(
    'The source is not there yet, or its node cannot be reached.',
    'See the conditions of the source.',
  ),
  SourceDeleted: term('The source is being deleted.', 'Make a new one from another source.'),
  TransferFailed: term('The transfer broke off; nothing of it is kept, it is tried again.', 'See the message.'),
  FileNotFound: term('There is no such file in imports/<namespace>/ on the node.', 'Put it there.'),
  DownloadRefused: term(
    'The operator is not configured to fetch from this address, or so much; or the address is a private one.',
    'Ask the administrator of the operator.',
  ),
  DownloadFailed: term('The content could not be fetched; it is tried again.', 'See the message.'),
  ChecksumMismatch: term(
    'The content has another sha256 than spec says.',
    'Correct the content, or make a new one with the right sha256.',
  ),
  StreamRefused: term(
    'The stream is broken, or holds what is not allowed; the message names it. Nothing of it is kept.',
    'Make the stream anew with btrfs send.',
  ),
};

/** Why data on the node is not taken over: the same for every kind that has source.adopt. */
export const adoptionReasons = {
  OrphanNotFound: term(
    'There is no data of the uid in spec.source.adopt.',
    'See status.orphans of the BtrfsNodes; make the object anew with the right uid.',
  ),
  AdoptionRefused: term(
    'The data is there, and not for this object: its record names another kind, namespace or name, or none can be read.',
    'Do what the message says.',
  ),
};

/** Every reason that a condition of a LoopbackVolume can have. */
export const loopbackVolumeReasons = {
  ...commonReasons,
  Placed: term('A node was chosen.'),
  NoNodeFits: term(
    'No node has enough free capacity, matches nodeSelector and is ready; the message counts why.',
    'Ask for a smaller size, change nodeSelector, or free a node.',
  ),
  UnknownNode: term(
    'There is no ready BtrfsNode of the name in spec.nodeName.',
    'Correct spec.nodeName, or start an agent on that node.',
  ),
  Mounting: term('The file system is being mounted.'),
  Mounted: term('The volume is mounted.'),
  Unmounting: term('spec.mounted is false; the volume is being unmounted and detached.'),
  Unmounted: term(
    'spec.mounted is false; the volume is unmounted and detached, its image is kept.',
    'Set spec.mounted to true to use it.',
  ),
  Growing: term('The volume is being made larger.'),
  Shrinking: term('The volume is being made smaller; see status.progress.'),
  Minimizing: term('The volume is being shrunk to what its data needs; see status.progress.'),
  SizeReached: term('The volume has the size that spec asks for.'),
  ShrinkDoesNotFit: term(
    'The data does not fit into the smaller size; data and size stay. The message says about how much is needed.',
    'Ask for more, or delete data.',
  ),
  BusyVolume: term(
    'The volume is being written to; moving metadata has to wait for a quiet moment. What was reached is kept, and it is tried again by itself.',
    'Stop or pause what writes, if it must be soon.',
  ),
  BelowResizeLimit: term('btrfs resizes to 256Mi or more only; data and size stay.', 'Ask for 256Mi or more.'),
  HostPressure: term('The file system of the node that holds the images is almost full.', 'Free space on the node.'),
  AlmostFull: term('Little space is left in the volume.', 'Delete data, or raise spec.size.'),
  EnoughSpace: term('There is space left.'),
  NodeFull: term(
    'Growing the volume would promise more than the node offers in sum; data and size stay.',
    'Ask for a smaller size, or remove volumes from the node.',
  ),
  ForeignMount: term('Something else is mounted in its place; it is left alone.', 'Unmount it on the node.'),
  ForeignFilesystem: term(
    'The image holds something that the operator did not make; it is never formatted.',
    'Move the image away by hand if its content is not wanted.',
  ),
  BackingFileMissing: term(
    'The image is gone from the node; no empty volume is made in its place. What is still mounted can be copied away.',
    'Restore the image, or delete the object.',
  ),
  BackingFileReplaced: term(
    'The image is not the file, or not the file system, that the record tells of.',
    'Restore the image, or delete the object.',
  ),
  ImageTruncated: term('The image is smaller than the file system in it.', 'Restore the image from a backup.'),
  RecordDamaged: term(
    'The record of the volume cannot be read: it is torn, or a later version of the agent wrote it. A mounted volume stays mounted and usable.',
    'As the message says: put back a copy of the record, or delete the object with deletionPolicy Retain and adopt its image.',
  ),
  DuplicateFilesystem: term(
    'Another file system with the same UUID is attached on the node; mounting both would lose data.',
    'Detach the copy, or give it a UUID of its own (btrfstune -m).',
  ),
  FilesystemDamaged: term(
    'btrfs cannot mount or read the file system.',
    'Save what can be read (btrfs restore); make a new volume.',
  ),
  DeviceErrors: term(
    'btrfs counted errors of the device or of checksums.',
    'Save what can be read; look at the disk of the node.',
  ),
  ReadOnly: term(
    'btrfs has turned the volume read-only; it is being healed by unmount and mount.',
    'If it comes again, look at the log of the kernel on the node.',
  ),
  ReadOnlyNeedsRestart: term(
    'btrfs has turned the volume read-only and someone still uses it; the message names the pods.',
    'Restart these pods.',
  ),
  InUse: term(
    'Pods or processes use the volume; the message names the pods, fuser -vm on the node shows processes.',
    'Stop them.',
  ),
  StillInUse: term(
    'The file system or its loop device is in use elsewhere, perhaps in another mount namespace; the image is left alone.',
    'Stop the pods that have it mounted.',
  ),
  HasDependents: term(
    'Other objects live in the volume; deletion waits for them. The message names the first ten.',
    'Delete them first.',
  ),
  Removed: term('Nothing is left of the volume on the node.'),
  Retained: term(
    'The object may go; image and record stay on the node (deletionPolicy Retain).',
    'See orphans of the BtrfsNode.',
  ),
  Filling: term('The content of spec.source is coming into the volume; see status.import.'),
  ...sourceReasons,
  ...adoptionReasons,
  SourceDoesNotFit: term(
    'The content of spec.source needs more than spec.size; nothing of it is kept. The message says about how much.',
    'Raise spec.size; it goes on then.',
  ),
  VolumeNotReady: term('The volume of the source is not mounted.', 'See the conditions of that volume.'),
  ParentMissing: term('The stream is incremental; a new volume has nothing that it builds on.', 'Use a full stream.'),
  ImageRefused: term('Images are not allowed here, or this one is none that can be used.', 'See the message.'),
  Exporting: term('The file of spec.export is being written.'),
  Exported: term('The file of spec.export is written.'),
  ExportFailed: term('The file of spec.export could not be written; it is tried again.', 'See the message.'),
  UnsupportedHost: term(
    'The file system of the node cannot hold sparse images, loop files, or a file of this size (ext4 ends just below 16Ti).',
    'Put the root directory of the operator on ext4 or xfs, or ask for less.',
  ),
} as const satisfies TermTable;

/** Every reason that a condition of a BtrfsNode can have. */
export const btrfsNodeReasons = {
  ...commonReasons,
  KernelSupported: term('The kernel has all that is needed.'),
  KernelTooOld: term(`The kernel is older than ${MIN_KERNEL}.`, 'Update the kernel of the node.'),
  KernelUnknown: term('The version of the kernel cannot be read.', 'Report it with the output of uname -r.'),
  MissingFeature: term(
    'btrfs, loop devices or a tool is not there; the message names it.',
    'Load the module, or install the tool.',
  ),
  HostAlmostFull: term(
    'Little space is left for images on the node.',
    'Free space on the node, minimize or delete volumes, remove orphans.',
  ),
  EnoughSpace: term('There is space left.'),
} as const satisfies TermTable;

export type LoopbackVolumeConditionType = keyof typeof loopbackVolumeConditionTypes;
export type LoopbackVolumeReason = keyof typeof loopbackVolumeReasons;
export type BtrfsNodeConditionType = keyof typeof btrfsNodeConditionTypes;
export type BtrfsNodeReason = keyof typeof btrfsNodeReasons;
