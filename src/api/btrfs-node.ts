import { z } from 'zod';
import { conditionList } from './conditions.ts';
import { API_VERSION, REMOVE_ORPHANS } from './group.ts';
import { ageColumn, type KindDefinition, messageColumn, readyColumns, untouchedStatus } from './kind.ts';
import { parseObject } from './parse.ts';
import { btrfsNodeConditionTypes, btrfsNodeReasons } from './reasons.ts';
import { atomicList, byteCount, objectMeta, text, time, wholeNumber } from './schema.ts';

/** Bound of `status.orphans`: the largest list stays far below the API server's limit for an object. */
export const MAX_ORPHANS = 100;

/** Data on the node that belongs to no object. */
const orphan = z.object({
  uid: text(64).min(1).describe('UID of the object that the data was made for; names the files on the node.'),
  kind: text(63)
    .optional()
    .describe(
      'Kind of that object; Snapshot where nothing is left but exported streams, LoopbackVolume for other exports.',
    ),
  namespace: text(63).optional().describe('Namespace of that object; absent if no record tells it.'),
  name: text(253).optional().describe('Name of that object; absent if no record tells it.'),
  volume: text(253)
    .optional()
    .describe('LoopbackVolume that it lies in, as the record of that volume has it; of all kinds but LoopbackVolumes.'),
  access: text(16).optional().describe('Of a Snapshot: ReadWrite, or ReadOnly if it is committed.'),
  bytes: byteCount().describe(
    'Bytes that the data takes on the node, of exported files if nothing else is left; absent for what lies in a volume, where it shares space with the rest.',
  ),
  sizeBytes: byteCount().describe('Of a LoopbackVolume: size of the image in bytes.'),
  since: time().optional().describe('When the data was first seen without an object.'),
});

export type Orphan = z.infer<typeof orphan>;

export const BtrfsNodeStatus = z
  .object({
    observedGeneration: wholeNumber()
      .min(-1)
      .optional()
      .describe('The metadata.generation that the rest of status is about; -1 until the agent has written it.'),
    hostTotalBytes: byteCount().describe('Size of the file system that holds the images, in bytes.'),
    hostFreeBytes: byteCount().describe('Bytes free on that file system.'),
    allocatableBytes: byteCount().describe(
      'Sum of sizes that volumes on this node may have: total times overcommit, less the reserve.',
    ),
    committedBytes: byteCount().describe(
      'Sum of the sizes of the volumes on this node and of what is exported there, in bytes.',
    ),
    exportedBytes: byteCount().describe('The part of it that exported files hold, or will when they are written.'),
    kernel: text(128).optional().describe('Release of the kernel, such as 6.12.0-amd64.'),
    btrfsProgs: text(64).optional().describe('Version of btrfs-progs that the agent uses.'),
    transferEndpoint: text(512).optional().describe('Address at which other nodes fetch snapshots from this one.'),
    orphans: atomicList(orphan, MAX_ORPHANS)
      .optional()
      .describe(
        `Data on the node that belongs to no object, oldest first, ${MAX_ORPHANS} entries at most; of what lies in volumes, only of those that are mounted. Deleted only when annotation ${REMOVE_ORPHANS} names its uid; can be adopted (source.adopt).`,
      ),
    orphanCount: wholeNumber().min(0).optional().describe('How many there are, listed or not.'),
    conditions: conditionList(),
  })
  .describe('What is there. Written by the agent of the node only.');

export type BtrfsNodeStatus = z.infer<typeof BtrfsNodeStatus>;

export const BtrfsNode = z
  .object({
    apiVersion: z.literal(API_VERSION).default(API_VERSION),
    kind: z.literal('BtrfsNode').default('BtrfsNode'),
    metadata: objectMeta,
    // NOTE: an object that nobody owns a field of counts as made "before the first apply", and its defaults would conflict
    // with the agent's first status. This default gives the creator a field to own.
    spec: z.object({}).meta({ default: {} }).optional().describe('Empty; there is nothing to set.'),
    status: BtrfsNodeStatus.prefault({ observedGeneration: -1 }),
  })
  .describe('What a node offers to volumes. Made and kept by the agent of the node, under the name of the Node.');

export type BtrfsNode = z.infer<typeof BtrfsNode>;

/** A BtrfsNode as the API server gives it: unknown keys dropped, defaults applied. See {@link parseObject}. */
export function parseBtrfsNode(raw: unknown): BtrfsNode {
  return parseObject('BtrfsNode', BtrfsNode, raw);
}

export const btrfsNodeType = {
  apiVersion: API_VERSION,
  kind: 'BtrfsNode',
  plural: 'btrfsnodes',
  namespaced: false,
  parse: parseBtrfsNode,
} as const;

export const btrfsNodeDefinition: KindDefinition = {
  kind: btrfsNodeType.kind,
  plural: btrfsNodeType.plural,
  singular: 'btrfsnode',
  shortNames: ['bn'],
  scope: 'Cluster',
  schema: BtrfsNode,
  statusDefault: untouchedStatus('waiting for the agent of this node'),
  printerColumns: [
    ...readyColumns,
    {
      name: 'Allocatable-Bytes',
      type: 'integer',
      jsonPath: '.status.allocatableBytes',
      description: 'Sum of sizes that volumes may have here.',
    },
    {
      name: 'Committed-Bytes',
      type: 'integer',
      jsonPath: '.status.committedBytes',
      description: 'Sum of the sizes of the volumes here.',
    },
    { name: 'Kernel', type: 'string', jsonPath: '.status.kernel', description: 'Release of the kernel.' },
    ageColumn,
    {
      name: 'Free-Bytes',
      type: 'integer',
      jsonPath: '.status.hostFreeBytes',
      description: 'Bytes free where the images are.',
      priority: 1,
    },
    {
      name: 'Orphans',
      type: 'integer',
      jsonPath: '.status.orphanCount',
      description: 'Data here that belongs to no object.',
      priority: 1,
    },
    {
      name: 'Btrfs-Progs',
      type: 'string',
      jsonPath: '.status.btrfsProgs',
      description: 'Version of btrfs-progs.',
      priority: 1,
    },
    messageColumn,
  ],
  selectableFields: [],
  conditionTypes: btrfsNodeConditionTypes,
  reasons: btrfsNodeReasons,
};
