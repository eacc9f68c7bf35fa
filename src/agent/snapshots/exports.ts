import { isDeepStrictEqual } from 'node:util';
import { snapshotReasons } from '../../api/reasons-snapshot.ts';
import type { Snapshot, SnapshotStatus } from '../../api/snapshot.ts';
import type { Place } from '../../runtime/places.ts';
import { StorageError } from '../../storage/errors.ts';
import { type ExportOwner, findExport, removeExports, STREAM_SUFFIX, writeExport } from '../../storage/exports.ts';
import { treeLayout } from '../../storage/layout.ts';
import { type Exported, readExported, recordExported } from '../../storage/snapshots/exported.ts';
import { contentBytesOf, startSend } from '../../storage/snapshots/send.ts';
import type { ListedSubvolume, Tree } from '../../storage/tree.ts';
import { refusalOf } from '../refusal.ts';
import type { Refusal } from './decide.ts';
import type { SnapshotReconcilerOptions } from './options.ts';
import { isInSameVolume, referenceKey } from './relations.ts';

type Wanted = NonNullable<Snapshot['spec']['exports']>[number];
type Written = NonNullable<SnapshotStatus['exports']>[number];

export interface Exports {
  readonly written: readonly Written[];
  /** Why the others are not; undefined if there are none. */
  readonly refusal: Refusal | undefined;
  /** There are some to be written, which may take long. */
  readonly isDue?: boolean;
}

/** Streams have a suffix of their own, so that none takes the name of something else. */
const fileNameOf = ({ name }: { readonly name: string }) => `${name}${STREAM_SUFFIX}`;

/**
 * The streams that spec asks for are under exports/, and no others; without a place for long work none is written. One that the
 * record has, and that is there with its size, is not written again. One that fails does not hold up the next.
 */
export async function ensureExports(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  tree: Tree,
  { signal, place }: { readonly signal: AbortSignal; readonly place: Place | undefined },
): Promise<Exports> {
  const wanted = snapshot.spec.exports ?? [];
  // Also where status names none: that is no proof that there are no files.
  const names = wanted.map(fileNameOf);
  await removeExports(options.storage, snapshot.metadata.uid, (name) => names.includes(name));
  if (wanted.length === 0) return { written: [], refusal: undefined };
  const owner = await exportOwnerOf(options, snapshot, signal);
  const { uid } = owner;
  const recorded = await readExported(tree, uid);
  // A version that kept no record of them told of them in status only.
  let known = [...recorded, ...(snapshot.status.exports ?? []).map(({ file: _, ...each }) => each)].filter(({ name }) =>
    wanted.some((each) => each.name === name),
  );
  const written: Written[] = [];
  let refusal: Refusal | undefined;
  let isDue = false;
  for (const each of wanted) {
    try {
      const done = await ensureExport(options, { snapshot, tree, owner, signal, place }, each, known);
      if (done === 'due') {
        isDue = true;
        continue;
      }
      written.push(done);
      const { file: _, ...entry } = done;
      if (recorded.some((before) => isDeepStrictEqual(before, entry))) continue;
      known = [entry, ...known.filter(({ name }) => name !== entry.name)];
      await recordExported(tree, uid, known);
    } catch (error) {
      if (signal.aborted || !(error instanceof StorageError)) throw error;
      refusal ??= refusalOf(error, snapshotReasons);
    }
  }
  return { written, refusal, isDue };
}

interface ExportContext {
  readonly snapshot: Snapshot;
  readonly tree: Tree;
  readonly owner: ExportOwner;
  readonly signal: AbortSignal;
  readonly place: Place | undefined;
}

async function ensureExport(
  options: SnapshotReconcilerOptions,
  context: ExportContext,
  wanted: Wanted,
  before: readonly Exported[],
): Promise<Written | 'due'> {
  const { snapshot, tree, owner, signal, place } = context;
  const { storage, events } = options;
  const subvolumes = await tree.list();
  const subvolume = subvolumes.get(treeLayout.committedPath(snapshot.metadata.uid));
  if (subvolume === undefined) throw notReady('SourceNotCommitted', 'it is not committed yet');
  const fileName = fileNameOf(wanted);
  const known = before.find(({ name }) => name === wanted.name);
  const found = await findExport(storage, owner, fileName);
  const whole = known !== undefined && found?.bytes === known.bytes ? { ...known, file: found.path } : undefined;
  // What is written stays when its parent goes.
  if (whole?.parentUUID !== undefined && !hasParent(options, snapshot, wanted)) return whole;
  const parent = findParent(options, snapshot, wanted, subvolumes);
  if (whole !== undefined && whole.parentUUID === parent?.uuid) return whole;
  if (place === undefined) return 'due';
  const outgoing = { subvolume, ancestor: parent };
  // How much an increment is, nobody knows before.
  const neededBytes = parent === undefined ? await contentBytesOf(tree, outgoing) : 0;
  const write = { name: `${owner.uid}/${fileName}`, into: 'Export', neededBytes, signal } as const;
  const { path, bytes, sha256 } = await options.room.use(write, async (room) => {
    const running = startSend(tree, outgoing, room.signal);
    return await writeExport(storage, owner, fileName, running, (written) => {
      place.moved();
      room.onBytes(written);
    });
  });
  events.record(snapshot, 'Normal', 'Exported', 'Export', `wrote ${fileName}, ${bytes} bytes`);
  return { name: wanted.name, file: path, bytes, sha256, ...(parent === undefined ? {} : { parentUUID: parent.uuid }) };
}

function hasParent({ snapshots }: SnapshotReconcilerOptions, snapshot: Snapshot, { parentRef }: Wanted): boolean {
  return parentRef !== undefined && snapshots.get(referenceKey(snapshot, parentRef)) !== undefined;
}

function findParent(
  { snapshots }: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  { parentRef }: Wanted,
  subvolumes: ReadonlyMap<string, ListedSubvolume>,
): ListedSubvolume | undefined {
  if (parentRef === undefined) return undefined;
  const parent = snapshots.get(referenceKey(snapshot, parentRef));
  if (parent === undefined || !isInSameVolume(parent, snapshot)) {
    throw notReady('SourceNotFound', `there is no Snapshot "${parentRef.name}" in the same volume`);
  }
  const found = subvolumes.get(treeLayout.committedPath(parent.metadata.uid));
  if (found === undefined) throw notReady('SourceNotCommitted', `Snapshot "${parentRef.name}" is not committed`);
  return found;
}

function notReady(reason: 'SourceNotFound' | 'SourceNotCommitted', message: string): StorageError {
  return new StorageError('not-ready', `could not write a stream: ${message}; it goes on then`, { reason });
}

/** Where exports of the Snapshot are, by uids: a namespace that was made anew has another. */
export async function exportOwnerOf(
  { namespaces }: SnapshotReconcilerOptions,
  { metadata: { namespace = '', uid } }: Snapshot,
  signal: AbortSignal,
): Promise<ExportOwner> {
  const found = await namespaces.get(namespace, { signal });
  if (found === undefined) throw new StorageError('failed', `there is no namespace ${namespace}`);
  return { namespaceUid: found.metadata.uid, uid };
}
