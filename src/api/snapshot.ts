import { z } from 'zod';
import { API_VERSION } from './group.ts';
import { ageColumn, type KindDefinition, messageColumn, readyColumns, untouchedStatus } from './kind.ts';
import { parseObject, unreadableOf } from './parse.ts';
import { snapshotConditionTypes, snapshotReasons } from './reasons-snapshot.ts';
import { objectMeta } from './schema.ts';
import { SnapshotSpec } from './snapshot-spec.ts';
import { SnapshotStatus } from './snapshot-status.ts';

export type { SnapshotSpec } from './snapshot-spec.ts';
export type { SnapshotStatus } from './snapshot-status.ts';

export const Snapshot = z
  .object({
    apiVersion: z.literal(API_VERSION).default(API_VERSION),
    kind: z.literal('Snapshot').default('Snapshot'),
    metadata: objectMeta,
    spec: SnapshotSpec,
    status: SnapshotStatus.prefault({ observedGeneration: -1 }),
  })
  .describe(
    'A subvolume in a LoopbackVolume: its data at one moment, a copy-on-write child, or content from elsewhere.',
  );

export type Snapshot = z.infer<typeof Snapshot>;

const UNKNOWN_VOLUME = 'unreadable';
/** What becomes of the data is not guessed. */
const standIns = { spec: { volumeRef: { name: UNKNOWN_VOLUME }, deletionPolicy: 'Retain' }, goesOnWithout: [] };

/** A Snapshot as the API server gives it: unknown keys dropped, defaults applied. See {@link parseObject}. */
export function parseSnapshot(raw: unknown): Snapshot {
  const snapshot = parseObject('Snapshot', Snapshot, raw, standIns);
  const isElsewhere = unreadableOf(snapshot) !== undefined && snapshot.spec.volumeRef.name === UNKNOWN_VOLUME;
  // It can't be removed from where nobody knows: it stays there, as an orphan.
  return isElsewhere ? { ...snapshot, spec: { ...snapshot.spec, deletionPolicy: 'Retain' } } : snapshot;
}

export const snapshotType = {
  apiVersion: API_VERSION,
  kind: 'Snapshot',
  plural: 'snapshots',
  namespaced: true,
  parse: parseSnapshot,
} as const;

export const snapshotDefinition: KindDefinition = {
  kind: snapshotType.kind,
  plural: snapshotType.plural,
  singular: 'snapshot',
  shortNames: ['bsnap'],
  scope: 'Namespaced',
  schema: Snapshot,
  statusDefault: untouchedStatus('waiting for its volume; see condition Scheduled'),
  printerColumns: [
    ...readyColumns,
    { name: 'Volume', type: 'string', jsonPath: '.spec.volumeRef.name', description: 'LoopbackVolume that it is in.' },
    { name: 'Source', type: 'string', jsonPath: '.status.source', description: 'Where the content comes from.' },
    { name: 'Access', type: 'string', jsonPath: '.spec.access', description: 'Whether it may be changed.' },
    {
      name: 'Committed',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Committed")].status',
      description: 'Whether it is read-only for ever.',
    },
    {
      name: 'Scheduled',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Scheduled")].reason',
      description: 'Whether its volume has a node, or why not.',
    },
    ageColumn,
    { name: 'Node', type: 'string', jsonPath: '.status.nodeName', description: 'Node that it is on.', priority: 1 },
    {
      name: 'Subvolume',
      type: 'integer',
      jsonPath: '.status.subvolumeID',
      description: 'Id of the subvolume.',
      priority: 1,
    },
    {
      name: 'Children',
      type: 'integer',
      jsonPath: '.status.childCount',
      description: 'Number of its children.',
      priority: 1,
    },
    messageColumn,
  ],
  selectableFields: ['.status.nodeName'],
  conditionTypes: snapshotConditionTypes,
  reasons: snapshotReasons,
};
