import { z } from 'zod';
import { conditionList } from './conditions.ts';
import { nodeNameStays, observedGeneration, PATH_MAX, placedNodeName } from './placed-status.ts';
import { atomicList, byteCount, rules, text, time, wholeNumber } from './schema.ts';

export const MAX_ANCESTORS = 64;
/** A reference, or as much of a URL as one wants to see in a table. */
export const MAX_SOURCE = 270;

const uuid = () => text(36).optional();

const mount = z
  .object({
    device: text(64).describe('Block device of the volume on the node.'),
    fsType: text(16).describe('Type for mount(8): btrfs.'),
    options: atomicList(text(64), 8).describe('Options for mount(8), such as subvolid=257 and ro.'),
  })
  .describe('How the Snapshot is mounted by hand on the node: mount -t fsType -o options device directory.');

const transfer = z
  .object({
    phase: text(64).describe('What is being done, in CamelCase.'),
    bytes: byteCount().describe('Bytes of the stream that were received so far.'),
    bytesPerSecond: byteCount().describe('Rate since the last entry.'),
    incrementalFrom: text(253)
      .optional()
      .describe('Snapshot, or uuid of the subvolume, to which only the difference was sent; absent for all of it.'),
    why: text(256).optional().describe('Why the stream was incremental or full.'),
    updatedAt: time().optional().describe('When this entry was last written.'),
  })
  .describe('How the content came, or comes, into the volume; absent if it was there already.');

const exported = z.object({
  name: text(200).describe('Name of the stream in spec.exports.'),
  file: text(PATH_MAX).describe('Path of the file on the node. For people; the operator does not read it.'),
  bytes: wholeNumber().min(0).describe('Size of the file in bytes.'),
  sha256: text(64).describe('Digest of the file, as sha256sum prints it.'),
  parentUUID: uuid().describe('uuid of the subvolume to which it holds the difference; absent for a full stream.'),
});

export const SnapshotStatus = z
  .object({
    observedGeneration: observedGeneration(),
    nodeName: placedNodeName(),
    subvolumeID: wholeNumber().min(0).optional().describe('Id of the subvolume in its file system.'),
    source: text(MAX_SOURCE)
      .optional()
      .describe('Where the content comes from, in words. For people: spec.source is what counts.'),
    uuid: uuid().describe('uuid of the subvolume.'),
    parentUUID: uuid().describe('uuid of the subvolume that it is a snapshot of.'),
    receivedUUID: uuid().describe('uuid of the subvolume that it was sent from.'),
    path: text(PATH_MAX).optional().describe('Directory on the node, while the volume is mounted. For root only.'),
    ancestors: atomicList(text(253), MAX_ANCESTORS)
      .optional()
      .describe('Names of the Snapshots that it descends from, the nearest first.'),
    childCount: wholeNumber().min(0).optional().describe('Number of Snapshots that are children of this one.'),
    mount: mount.optional(),
    transfer: transfer.optional(),
    exports: atomicList(exported, 16).optional().describe('Streams that were written, complete and on disk.'),
    conditions: conditionList(),
  })
  .meta(rules(nodeNameStays('Snapshot')))
  .describe('What is there. Written by the operator only.');

export type SnapshotStatus = z.infer<typeof SnapshotStatus>;
