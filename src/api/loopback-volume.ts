import { z } from 'zod';
import { API_VERSION } from './group.ts';
import { ageColumn, type KindDefinition, messageColumn, readyColumns, untouchedStatus } from './kind.ts';
import { LoopbackVolumeSpec, MIN_RESIZE } from './loopback-volume-spec.ts';
import { LoopbackVolumeStatus } from './loopback-volume-status.ts';
import { parseObject } from './parse.ts';
import { SECTOR_BYTES } from './quantity.ts';
import { loopbackVolumeConditionTypes, loopbackVolumeReasons } from './reasons.ts';
import { type CelRule, objectMeta, rules } from './schema.ts';

export type { LoopbackVolumeSpec } from './loopback-volume-spec.ts';
export type { LoopbackVolumeStatus } from './loopback-volume-status.ts';

const placed = 'has(self.status) && has(self.status.nodeName)';

/** Holds for writes of spec and of status alike: a volume is never placed elsewhere than spec says, whoever writes last. */
const nodeNameFollowsPlacement: CelRule = {
  rule: `!has(self.spec.nodeName) || !(${placed}) || self.spec.nodeName == self.status.nodeName`,
  message: 'must be the node that the volume is on; make a new volume to have one elsewhere',
  messageExpression: `"must stay " + self.status.nodeName + ", where the volume is; got " + self.spec.nodeName + "; make a new volume to have one there"`,
  fieldPath: '.spec.nodeName',
};

const nodeNameStays: CelRule = {
  rule: `!has(oldSelf.spec.nodeName) || has(self.spec.nodeName) || !(${placed})`,
  message: 'cannot be removed once the volume is placed; put it back',
  messageExpression: `"cannot be removed once the volume is placed; put " + oldSelf.spec.nodeName + " back"`,
  fieldPath: '.spec.nodeName',
};

const newSize = 'quantity(string(self.spec.size))';
/** In doubles, which hold any size exactly: a quantity made of an integer has no bound for the server's cost estimate. */
const newBytes = `${newSize}.asApproximateFloat()`;
const realBytes = 'double(self.status.sizeBytes)';

/** Going back to the size that the volume has (rounded up to sectors) is no resize. */
const resizeFloor: CelRule = {
  rule: [
    '!has(self.status) || !has(self.status.sizeBytes) || !isQuantity(string(self.spec.size))',
    'self.spec.size == oldSelf.spec.size',
    `${newSize}.compareTo(quantity('${MIN_RESIZE}')) >= 0`,
    `(${newBytes} <= ${realBytes} && ${newBytes} > ${realBytes} - ${SECTOR_BYTES}.0)`,
  ].join(' || '),
  message: `must be ${MIN_RESIZE} or more to resize a volume that exists, which is a limit of btrfs`,
  messageExpression: `"must be ${MIN_RESIZE} or more to resize a volume that exists, which is a limit of btrfs; got " + string(self.spec.size)`,
  fieldPath: '.spec.size',
};

export const LoopbackVolume = z
  .object({
    apiVersion: z.literal(API_VERSION).default(API_VERSION),
    kind: z.literal('LoopbackVolume').default('LoopbackVolume'),
    metadata: objectMeta,
    spec: LoopbackVolumeSpec,
    status: LoopbackVolumeStatus.prefault({ observedGeneration: -1 }),
  })
  .meta(rules(nodeNameFollowsPlacement, nodeNameStays, resizeFloor))
  .describe('A btrfs file system with a size limit, in a sparse image file on one node, attached and mounted there.');

export type LoopbackVolume = z.infer<typeof LoopbackVolume>;

/** Sums count what there is; what becomes of the data is not guessed. */
const standIns = {
  spec: { size: 0, deletionPolicy: 'Retain' },
  goesOnWithout: ['compression', 'discard', 'durability'],
};

/** A LoopbackVolume as the API server gives it: unknown keys dropped, defaults applied. See {@link parseObject}. */
export function parseLoopbackVolume(raw: unknown): LoopbackVolume {
  return parseObject('LoopbackVolume', LoopbackVolume, raw, standIns);
}

export const loopbackVolumeType = {
  apiVersion: API_VERSION,
  kind: 'LoopbackVolume',
  plural: 'loopbackvolumes',
  namespaced: true,
  parse: parseLoopbackVolume,
} as const;

export const loopbackVolumeDefinition: KindDefinition = {
  kind: loopbackVolumeType.kind,
  plural: loopbackVolumeType.plural,
  singular: 'loopbackvolume',
  shortNames: ['lbv'],
  scope: 'Namespaced',
  schema: LoopbackVolume,
  statusDefault: untouchedStatus('waiting for a node; see condition Scheduled'),
  printerColumns: [
    ...readyColumns,
    { name: 'Size', type: 'string', jsonPath: '.spec.size', description: 'Upper bound of the volume.' },
    {
      name: 'Resized',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Resized")].reason',
      description: 'Whether the volume has the size that spec asks for, or why not.',
    },
    {
      name: 'Scheduled',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Scheduled")].reason',
      description: 'Whether there is a node for the volume, or why not.',
    },
    { name: 'Node', type: 'string', jsonPath: '.status.nodeName', description: 'Node that the volume is on.' },
    ageColumn,
    {
      name: 'Size-Bytes',
      type: 'integer',
      jsonPath: '.status.sizeBytes',
      description: 'Real size of the volume.',
      priority: 1,
    },
    {
      name: 'Used-Bytes',
      type: 'integer',
      jsonPath: '.status.usedBytes',
      description: 'Bytes in use in the file system.',
      priority: 1,
    },
    {
      name: 'Host-Bytes',
      type: 'integer',
      jsonPath: '.status.hostBytes',
      description: 'Bytes that the image takes on the node.',
      priority: 1,
    },
    {
      name: 'FS-UUID',
      type: 'string',
      jsonPath: '.status.filesystemUUID',
      description: 'UUID of the file system.',
      priority: 1,
    },
    {
      name: 'Device',
      type: 'string',
      jsonPath: '.status.loopDevice',
      description: 'Loop device on the node.',
      priority: 1,
    },
    {
      name: 'Mount-Path',
      type: 'string',
      jsonPath: '.status.mountPath',
      description: 'Where the volume is mounted on the node.',
      priority: 1,
    },
    messageColumn,
  ],
  selectableFields: ['.status.nodeName'],
  conditionTypes: loopbackVolumeConditionTypes,
  reasons: loopbackVolumeReasons,
};
