import { z } from 'zod';
import { conditionList } from './conditions.ts';
import { nodeNameStays, observedGeneration, PATH_MAX, placedNodeName } from './placed-status.ts';
import { atomicList, byteCount, rules, text, time, wholeNumber } from './schema.ts';

const minimized = z
  .object({
    observedGeneration: wholeNumber().min(0).describe('The metadata.generation that the volume was minimized for.'),
    sizeBytes: wholeNumber().min(0).describe('Size that the volume was minimized to, in bytes.'),
  })
  .describe('The last minimizing that came to its end.');

const imported = z
  .object({
    phase: text(64).describe('What is being done, in CamelCase; Done when data/ is whole.'),
    bytes: byteCount().describe('Bytes of the stream, or of the image, that have come so far.'),
    bytesPerSecond: byteCount().describe('Rate since the last entry.'),
    updatedAt: time().optional().describe('When this entry was last written.'),
  })
  .describe('How the content of spec.source came, or comes, into the volume.');

const exported = z
  .object({
    file: text(PATH_MAX).describe('Path of the file on the node. For people; the operator does not read it.'),
    sizeBytes: wholeNumber().min(0).describe('Size of the file in bytes; it is sparse.'),
    sha256: text(64).describe('Digest of the file, as sha256sum prints it.'),
    filesystemUUID: text(64).describe('UUID of the file system in it.'),
    exportedAt: time().describe('When it was complete and on disk.'),
  })
  .describe('The file that spec.export asks for, complete and on disk.');

const progress = z
  .object({
    operation: z.enum(['Shrink', 'Minimize', 'Export']).describe('What is going on.'),
    phase: text(64).describe('The step that is running, in CamelCase.'),
    sizeBytes: byteCount().describe('Size of the file system so far, or of the file to export, in bytes.'),
    movedBytes: byteCount().describe(
      'Bytes that were moved to make room at the end of the image, or that were copied or read.',
    ),
    startedAt: time().describe('When the operation began.'),
    updatedAt: time().describe('When this entry was last written.'),
  })
  .describe('A long operation while it runs; absent otherwise.');

export const LoopbackVolumeStatus = z
  .object({
    observedGeneration: observedGeneration(),
    nodeName: placedNodeName(),
    sizeBytes: byteCount().describe('Real size of image, loop device and file system, in bytes.'),
    usedBytes: byteCount().describe('Bytes in use in the file system.'),
    freeBytes: byteCount().describe('Bytes that can still be written, by the allocation figures of btrfs.'),
    hostBytes: byteCount().describe('Bytes that the sparse image takes on the file system of the node.'),
    filesystemUUID: text(64).optional().describe('UUID of the file system.'),
    loopDevice: text(64).optional().describe('Loop device that the image is attached to, such as /dev/loop3.'),
    imagePath: text(PATH_MAX)
      .optional()
      .describe('Path of the image on the node. For people; the operator does not read it.'),
    mountPath: text(PATH_MAX)
      .optional()
      .describe(
        'Directory on the node where the volume is mounted, for root only; its subdirectory data is what pods mount. Absent while it is not mounted.',
      ),
    mountOptions: atomicList(text(256), 64).optional().describe('Mount options in effect, as the kernel lists them.'),
    compression: text(32)
      .optional()
      .describe('Compression in effect, which differs from spec where btrfs clamps the level.'),
    sectorSize: wholeNumber().min(0).optional().describe('Logical sector size of the loop device, in bytes.'),
    directIO: z.boolean().optional().describe('Whether the loop device bypasses the page cache of the node.'),
    minimized: minimized.optional(),
    import: imported.optional(),
    export: exported.optional(),
    progress: progress.optional(),
    conditions: conditionList(),
  })
  .meta(rules(nodeNameStays('volume')))
  .describe('What is there. Written by the operator only.');

export type LoopbackVolumeStatus = z.infer<typeof LoopbackVolumeStatus>;
