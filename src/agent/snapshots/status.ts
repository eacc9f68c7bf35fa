import type { Condition } from '../../api/conditions.ts';
import { ownedByAgent } from '../../api/ownership.ts';
import type { SnapshotConditionType, SnapshotReason } from '../../api/reasons-snapshot.ts';
import type { Snapshot, SnapshotStatus } from '../../api/snapshot.ts';
import { MAX_ANCESTORS, MAX_SOURCE } from '../../api/snapshot-status.ts';
import type { KubeObject } from '../../kube/object.ts';
import type { SnapshotObservation } from '../../storage/snapshots/snapshot.ts';
import type { Tree } from '../../storage/tree.ts';
import { subvolumeStatusOf } from '../subvolume-status.ts';
import { conditionsOf, progressVerdicts, type Verdict, type Verdicts } from '../verdicts.ts';
import type { Refusal } from './decide.ts';

/** What was read of a Snapshot on disk. */
export interface Seen extends SnapshotObservation {
  readonly tree: Pick<Tree, 'path' | 'device'>;
}

/** Everything that a status is made of. */
export interface Report {
  readonly snapshot: Snapshot;
  /** Undefined when the volume could not be looked at. */
  readonly seen: Seen | undefined;
  readonly refusal: Refusal | undefined;
  readonly children: readonly Snapshot[];
  /** The Snapshot that it was made of, if one is known. */
  readonly parent: Snapshot | undefined;
  /** The source held subvolumes of its own; undefined: as it was said before. */
  readonly nested: boolean | undefined;
  readonly transfer?: SnapshotStatus['transfer'];
  readonly exports?: readonly NonNullable<SnapshotStatus['exports']>[number][] | undefined;
  readonly exportRefusal?: Refusal | undefined;
  readonly now: Date;
}

/** Names in a message; more would be no help. */
const MAX_NAMED = 10;

export function statusOf(report: Report): SnapshotStatus {
  const { snapshot, seen, parent, children } = report;
  const previous = ownedByAgent(snapshot.status);
  const {
    subvolumeID,
    uuid,
    parentUUID,
    receivedUUID,
    path: _path,
    mount: _mount,
    exports: _exports,
    ...kept
  } = previous;
  const facts = seen === undefined ? { subvolumeID, uuid, parentUUID, receivedUUID } : factsOf(seen, previous);
  const status: SnapshotStatus = {
    ...kept,
    observedGeneration: snapshot.metadata.generation,
    source: sourceOf(snapshot.spec.source),
    ...facts,
    ...(parent === undefined ? {} : { ancestors: ancestorsOf(parent) }),
    childCount: children.length,
    ...transferOf(report, previous),
    ...exportsOf(report.exports ?? previous.exports),
    conditions: conditionsFor(report, previous.conditions ?? []),
  };
  return JSON.parse(JSON.stringify(status)) as SnapshotStatus;
}

/** As it reads in a column of `kubectl get`. */
function sourceOf({ snapshotRef, stream, empty, adopt }: Snapshot['spec']['source']): string {
  if (snapshotRef !== undefined) return `Snapshot ${snapshotRef.name}`;
  if (stream !== undefined) return [...`stream ${stream.file ?? stream.url}`].slice(0, MAX_SOURCE).join('');
  if (adopt !== undefined) return `orphan ${adopt.uid}`;
  return empty === undefined ? 'data of the volume' : 'nothing';
}

function factsOf({ writable, committed, tree }: Seen, previous: SnapshotStatus): Partial<SnapshotStatus> {
  const found = committed ?? writable;
  // What was there once is not forgotten: without it a new one would be made.
  if (found === undefined) return { subvolumeID: previous.subvolumeID, uuid: previous.uuid };
  const { id, uuid, parentUUID, receivedUUID } = found;
  return {
    subvolumeID: id,
    uuid,
    parentUUID,
    receivedUUID,
    ...subvolumeStatusOf(found, tree, committed === undefined ? 'ReadWrite' : 'ReadOnly'),
  };
}

/** A run that ended between the last byte and its report leaves an entry from the middle of the way: all that is known is kept. */
function transferOf(
  { transfer, seen }: Report,
  { transfer: before }: SnapshotStatus,
): Pick<SnapshotStatus, 'transfer'> {
  if (transfer !== undefined) return { transfer };
  const isThere = seen?.committed !== undefined || seen?.writable !== undefined;
  if (before === undefined || before.phase === 'Done' || !isThere) return {};
  const { bytes: _bytes, bytesPerSecond: _rate, ...known } = before;
  return { transfer: { ...known, phase: 'Done' } };
}

function exportsOf(exports: Report['exports']): Pick<SnapshotStatus, 'exports'> {
  return exports === undefined || exports.length === 0 ? {} : { exports: [...exports] };
}

function ancestorsOf({ metadata, status }: Snapshot): string[] {
  return [metadata.name, ...(status.ancestors ?? [])].slice(0, MAX_ANCESTORS);
}

type SnapshotVerdict = Verdict<SnapshotReason>;

function conditionsFor(report: Report, previous: readonly Condition[]): Condition[] {
  const { snapshot, now, refusal, exportRefusal } = report;
  const verdicts: Verdicts<SnapshotConditionType, SnapshotReason> = [
    ['Ready', readyOf(report)],
    ['Committed', report.seen === undefined ? 'as before' : committedOf(report.seen)],
    ['HasChildren', hasChildrenOf(report)],
    ['InUse', refusal?.reason === 'InUse' ? ['True', 'InUse', refusal.message] : undefined],
    ['NestedSubvolumes', nestedOf(report)],
    ['Exported', exportedOf(report)],
    ...progressVerdicts(refusal ?? exportRefusal),
  ];
  return conditionsOf(verdicts, { previous, generation: snapshot.metadata.generation, now });
}

function readyOf({ snapshot, seen, refusal }: Report): SnapshotVerdict {
  if (refusal !== undefined) return ['False', refusal.reason, refusal.message];
  if (seen?.committed !== undefined) return ['True', 'Ready', 'committed: read-only for ever'];
  if (seen?.writable === undefined) return ['False', 'Creating', 'the subvolume is being made'];
  if (snapshot.spec.access === 'ReadOnly') return ['False', 'Committing', 'being made read-only'];
  return ['True', 'Ready', 'writable; set spec.access to ReadOnly to commit it'];
}

function committedOf({ committed, writable }: Seen): SnapshotVerdict | undefined {
  if (committed !== undefined) return ['True', 'Committed', 'read-only for ever; may be a parent'];
  return writable === undefined ? undefined : ['False', 'Writable', 'still writable'];
}

function hasChildrenOf({ children }: Report): SnapshotVerdict | undefined {
  if (children.length === 0) return undefined;
  return ['True', 'HasChildren', namesOf(children)];
}

function nestedOf({ nested }: Report): SnapshotVerdict | 'as before' | undefined {
  if (nested === undefined) return 'as before';
  if (!nested) return undefined;
  return [
    'True',
    'NestedSubvolumes',
    'subvolumes lie in the source; a snapshot does not contain them, it has empty directories in their places',
  ];
}

function exportedOf({ snapshot, exports, exportRefusal }: Report): SnapshotVerdict | undefined {
  const wanted = snapshot.spec.exports ?? [];
  if (wanted.length === 0) return undefined;
  if (exportRefusal !== undefined) return ['False', exportRefusal.reason, exportRefusal.message];
  if ((exports ?? []).length === wanted.length)
    return ['True', 'Exported', 'all streams are written; see status.exports'];
  return ['False', 'Exporting', 'streams are written once the Snapshot is committed'];
}

export function namesOf(objects: readonly KubeObject[]): string {
  const names = objects.slice(0, MAX_NAMED).map(({ kind, metadata }) => {
    return kind === 'Snapshot' ? metadata.name : `${kind} ${metadata.name}`;
  });
  const rest = objects.length - names.length;
  return rest > 0 ? `${names.join(', ')} and ${rest} more` : names.join(', ');
}
