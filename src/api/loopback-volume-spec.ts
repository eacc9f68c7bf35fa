import { z } from 'zod';
import { sourceRules, volumeExport, volumeSource } from './loopback-volume-source.ts';
import { owner } from './owner.ts';
import { matching, quantity, rules, text } from './schema.ts';

/** Bounds of `spec.size`. The lower one is what mkfs.btrfs has long needed; the upper one is where files on ext4 end. */
const MIN_SIZE = '109Mi';
const MAX_SIZE = '16Ti';
/** The kernel refuses to resize a btrfs, up or down, to less (fs/btrfs/ioctl.c, btrfs_ioctl_resize). */
export const MIN_RESIZE = '256Mi';

const LABEL_MAX_BYTES = 255;
const NODE_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const COMPRESSION = /^(none|lzo|zlib(:[1-9])?|zstd(:([1-9]|1[0-9]))?)$/;

const nodeName = () => matching(NODE_NAME, 253, 'must be the name of a Node, in lower case letters, digits, - and .');

const nodeSelector = z
  .record(z.string(), text(63))
  .meta({
    maxProperties: 16,
    ...rules({
      rule: 'self.all(key, !format.qualifiedName().validate(key).hasValue() && !format.labelValue().validate(self[key]).hasValue())',
      message:
        'must have label keys such as disk or example.com/disk, and label values of 63 letters, digits, -, _ and . at most',
    }),
  })
  .describe(
    'Labels that a Node must have, all of them, to be chosen. Looked at when the volume is placed, not afterwards. Cannot be combined with nodeName.',
  );

const label = text(LABEL_MAX_BYTES)
  .meta(
    rules(
      {
        rule: `size(bytes(self)) <= ${LABEL_MAX_BYTES}`,
        message: `must be ${LABEL_MAX_BYTES} bytes or shorter in UTF-8`,
        messageExpression: `"must be ${LABEL_MAX_BYTES} bytes or shorter in UTF-8; shorten " + self`,
      },
      {
        rule: String.raw`!self.matches(r'\p{Cc}')`,
        message: 'must be one line without control characters; remove newlines, tabs and the like',
      },
    ),
  )
  .describe(`Label of the file system, ${LABEL_MAX_BYTES} bytes at most, on one line. Changed while mounted.`);

const volumeOwner = owner('the top directory of data/')
  .prefault({})
  .describe('To whom the top directory of data/ belongs, and who may enter it. What is below it is left alone.');

const minimize = z
  .object({
    headroom: quantity('0', MAX_SIZE)
      .default('96Mi')
      .describe('Free space to leave beyond what the data needs, a quantity.'),
  })
  .describe(
    'When present (also as {}), the volume is shrunk to what its data needs plus headroom, but not below 256Mi, once for each change of minimize or size. Remove it to grow the volume back to size.',
  );

export const LoopbackVolumeSpec = z
  .object({
    size: quantity(MIN_SIZE, MAX_SIZE).describe(
      `Upper bound of the volume, a quantity from ${MIN_SIZE} to ${MAX_SIZE}; rounded up to a multiple of 4096 bytes. The image is sparse: space on the node is used as data is written. May go up and down later, to ${MIN_RESIZE} or more.`,
    ),
    nodeName: nodeName()
      .optional()
      .describe(
        'Node that the volume must be on. Stays as it is once the volume is placed. Without nodeName and nodeSelector the node with the most free capacity is chosen.',
      ),
    nodeSelector: nodeSelector.optional(),
    label: label.optional(),
    owner: volumeOwner,
    metadataProfile: z
      .enum(['single', 'dup'])
      .meta(
        rules({
          rule: 'self == oldSelf',
          message: 'is chosen when the volume is made; make a new volume for another profile',
          messageExpression: `"is chosen when the volume is made and stays " + oldSelf + "; make a new volume for " + self`,
        }),
      )
      .default('single')
      .describe(
        'How often btrfs keeps metadata in the image. single: once. dup: twice, against bad sectors, at the price of space and speed. Stays as it is.',
      ),
    compression: matching(COMPRESSION, 16, 'must be none, lzo, zlib, zlib:1 to zlib:9, zstd, or zstd:1 to zstd:19')
      .default('zstd:3')
      .describe(
        'Compression of newly written data: none, lzo, zlib[:1-9] or zstd[:1-19]. btrfs uses level 15 for zstd above 15; status.compression says what is in effect.',
      ),
    discard: z
      .enum(['Async', 'Sync', 'Off'])
      .default('Async')
      .describe(
        'When space of deleted files goes back to the node. Async: soon, in the background. Sync: at once, slower. Off: not at all; write it in quotes ("Off"), because YAML reads a bare Off as false.',
      ),
    durability: z
      .enum(['Full', 'Disposable'])
      .default('Full')
      .describe(
        'Full: data that was synced survives a crash. Disposable: faster (nobarrier), but a crash of the node may destroy the volume; for throw-away builds.',
      ),
    mounted: z
      .boolean()
      .default(true)
      .describe(
        'false unmounts and detaches the volume; the image and its data stay. A new volume is filled, and minimized if that is asked for, before that.',
      ),
    minimize: minimize.optional(),
    source: volumeSource.optional(),
    export: volumeExport.optional(),
    deletionPolicy: z
      .enum(['Delete', 'Retain'])
      .default('Delete')
      .describe(
        'What becomes of the image when this object is deleted. Delete: removed. Retain: image and record stay on the node and are listed in the BtrfsNode as an orphan.',
      ),
  })
  .meta(
    rules(
      {
        rule: '!has(self.nodeName) || !has(self.nodeSelector) || size(self.nodeSelector) == 0',
        message: 'has both nodeName and nodeSelector; keep one of them',
        messageExpression: `"has both nodeName (" + self.nodeName + ") and nodeSelector; keep one of them"`,
      },
      ...sourceRules,
    ),
  )
  .describe('The volume that is wanted. Written by you only, never by the operator.');

export type LoopbackVolumeSpec = z.infer<typeof LoopbackVolumeSpec>;
