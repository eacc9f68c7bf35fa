import { z } from 'zod';
import { conditionList, findCondition, removeCondition } from './conditions.ts';
import { atomicList, byteCount, rules, text, time, wholeNumber } from './schema.ts';

/** Longest path that the kernel takes (PATH_MAX). */
const PATH_MAX = 4096;

const minimized = z
  .object({
    observedGeneration: wholeNumber().min(0).describe('The metadata.generation that the volume was minimized for.'),
    sizeBytes: wholeNumber().min(0).describe('Size that the volume was minimized to, in bytes.'),
  })
  .describe('The last minimizing that came to its end.');

const progress = z
  .object({
    operation: z.enum(['Shrink', 'Minimize']).describe('What is going on.'),
    phase: text(64).describe('The step that is running, in CamelCase.'),
    sizeBytes: byteCount().describe('Size of the file system so far, in bytes.'),
    movedBytes: byteCount().describe('Bytes that were moved to make room at the end of the image.'),
    startedAt: time().describe('When the operation began.'),
    updatedAt: time().describe('When this entry was last written.'),
  })
  .describe('A long operation while it runs; absent otherwise.');

export const LoopbackVolumeStatus = z
  .object({
    observedGeneration: wholeNumber()
      .min(-1)
      .optional()
      .describe(
        'The metadata.generation that the rest of status is about; -1 until the node has looked at the object for the first time.',
      ),
    nodeName: text(253).optional().describe('Node that the volume is on. Set once.'),
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
    progress: progress.optional(),
    conditions: conditionList(),
  })
  .meta(
    rules({
      rule: '!has(oldSelf.nodeName) || (has(self.nodeName) && self.nodeName == oldSelf.nodeName)',
      message: 'is set once; a volume stays on its node',
      messageExpression: `"is set once; the volume stays on " + oldSelf.nodeName`,
      fieldPath: '.nodeName',
    }),
  )
  .describe('What is there. Written by the operator only.');

export type LoopbackVolumeStatus = z.infer<typeof LoopbackVolumeStatus>;

/** The part of a status that the agent's field manager owns: everything but nodeName and condition Scheduled. */
export function ownedByAgent(status: LoopbackVolumeStatus): LoopbackVolumeStatus {
  const { nodeName: _, conditions, ...rest } = status;
  return conditions === undefined ? rest : { ...rest, conditions: removeCondition(conditions, 'Scheduled') };
}

/** The part of a status that the controller's field manager owns: nodeName and condition Scheduled. */
export function ownedByController(status: LoopbackVolumeStatus): LoopbackVolumeStatus {
  const scheduled = findCondition(status.conditions, 'Scheduled');
  return {
    ...(status.nodeName === undefined ? {} : { nodeName: status.nodeName }),
    ...(scheduled === undefined ? {} : { conditions: [scheduled] }),
  };
}
