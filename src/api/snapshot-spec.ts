import { z } from 'zod';
import { adoption } from './adoption.ts';
import { download } from './download.ts';
import { owner } from './owner.ts';
import { fileName, reference } from './reference.ts';
import { type CelRule, listMap, rules } from './schema.ts';

const MAX_EXPORTS = 16;

const immutable: CelRule = {
  rule: 'self == oldSelf',
  message: 'cannot be changed; make a new Snapshot',
};

const source = z
  .object({
    volume: z
      .object({})
      .optional()
      .describe('Write {}: the data of the volume as it is when the Snapshot is made; the default.'),
    snapshotRef: reference()
      .optional()
      .describe(
        'Another Snapshot, committed. Of the same volume: a copy-on-write child. Of another volume or node: its content is sent, only the difference if both volumes have a common ancestor.',
      ),
    stream: download('a btrfs send stream')
      .optional()
      .describe('A btrfs send stream (full, or incremental on a subvolume that the volume has) from outside.'),
    empty: z.object({}).optional().describe('Write {}: an empty subvolume; needs access ReadWrite when it is made.'),
    adopt: adoption('A Snapshot in the volume of volumeRef').optional(),
  })
  .meta(
    rules(
      {
        rule: '[has(self.volume), has(self.snapshotRef), has(self.stream), has(self.empty), has(self.adopt)].exists_one(x, x)',
        message: 'must have exactly one of volume, snapshotRef, stream, empty and adopt',
      },
      immutable,
    ),
  )
  .default({ volume: {} })
  .describe('Where the content comes from. Stays as it is.');

const exported = z.object({
  name: fileName().describe('Name of the stream; the file is called so, with .btrfs at its end.'),
  parentRef: reference()
    .optional()
    .describe('A committed Snapshot of the same volume: the stream holds the difference to it. Without: everything.'),
});

/** ReadOnly for ever: an object that is committed never looks writable again. */
const commitIsFinal: CelRule = {
  rule: "self.access == 'ReadWrite' ? oldSelf.access == 'ReadWrite' : true",
  message: 'is ReadOnly for ever; make a ReadWrite Snapshot with this one as source.snapshotRef',
  fieldPath: '.access',
};

const emptyIsWritable: CelRule = {
  rule: "oldSelf.hasValue() || !has(self.source.empty) || self.access == 'ReadWrite'",
  message: 'must be ReadWrite for an empty source; change it to ReadOnly when the content is there',
  optionalOldSelf: true,
  fieldPath: '.access',
};

export const SnapshotSpec = z
  .object({
    volumeRef: reference().meta(rules(immutable)).describe('LoopbackVolume that the Snapshot is in. Stays as it is.'),
    source,
    access: z
      .enum(['ReadOnly', 'ReadWrite'])
      .default('ReadOnly')
      .describe(
        'ReadWrite: the content may be changed. Changing it to ReadOnly commits the Snapshot, for ever; that waits while something has it mounted writable.',
      ),
    owner: owner('the top directory of the Snapshot')
      .optional()
      .describe('To whom the top directory belongs. Set when the Snapshot is made; without it, as in the source.'),
    exports: listMap(exported, 'name', MAX_EXPORTS)
      .optional()
      .describe(
        'Send streams to write into exports/ on the node once the Snapshot is committed; status.exports says where they are. Taking one out removes its file.',
      ),
    deletionPolicy: z
      .enum(['Delete', 'Retain'])
      .default('Delete')
      .describe(
        'What becomes of the subvolume when this object is deleted. Delete: removed. Retain: it stays in the volume, with its record.',
      ),
  })
  .meta(rules(commitIsFinal, emptyIsWritable))
  .describe('The Snapshot that is wanted. Written by you only, never by the operator.');

export type SnapshotSpec = z.infer<typeof SnapshotSpec>;
