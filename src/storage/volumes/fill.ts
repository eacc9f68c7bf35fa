import type { Run } from '../../host/command.ts';
import { ensureDirectory, type Owner, truncateFile } from '../../host/coreutils.ts';
import { renameTo } from '../../host/files.ts';
import { snapshotSubvolume } from '../../host/subvolume.ts';
import { isTooMuch, type RoomForContent } from '../content-room.ts';
import { attempt, placesOf, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { DATA_NAME, STAGING_NAME } from '../layout.ts';
import { saveRecord, type VolumeRecord } from '../records.ts';
import { type Incoming, receiveStaged, removeStaged } from '../snapshots/receive.ts';
import { createTree, type Tree } from '../tree.ts';
import { takeDown } from './bring-down.ts';
import { observePlace } from './observe.ts';

/** What a volume is made with. */
export interface Content {
  /** How it comes into the tree of the volume. */
  readonly incoming: (tree: Tree) => Incoming;
  /** About how many bytes of a stream it is; undefined where nobody knows. */
  readonly neededBytes: number | undefined;
}

/** Metadata and half-empty chunks, on top of what the content itself takes. */
const OVERHEAD_BYTES = 64 * 1024 ** 2;
const OVERHEAD_PART = 0.1;

/** Asks for room before the first byte. Throws `out-of-space` (SourceDoesNotFit). */
export function refuseToFill(content: Content, room: RoomForContent): void {
  if (content.neededBytes !== undefined && isTooMuch(content.neededBytes, room)) throw doesNotFit(content, room.bytes);
}

/**
 * The volume that was formatted and mounted has its `data/`: a writable snapshot of what was received, which is not kept. The
 * record says that it is whole after all of it is on disk. A failure leaves the volume neither mounted nor whole, with nothing
 * of the content in it. Throws `out-of-space` (SourceDoesNotFit), or what the content fails with.
 */
export async function fillVolume(
  storage: Storage,
  uid: string,
  { owner, content }: { readonly owner: Owner; readonly content: Content },
  signal?: AbortSignal,
): Promise<void> {
  await storage.withVolume(uid, signal, async (_run, uninterrupted) => {
    const { record, mount, image } = await observePlace(storage, uid);
    if (record === undefined || mount === undefined) {
      throw new StorageError('not-ready', 'the volume to be filled is not mounted', { reason: 'CommandFailed' });
    }
    if (record.initialized) return;
    const tree = createTree(storage.fences.in(uid, signal), mount, placesOf(storage.layout, uid));
    try {
      await attempt('fill the volume', () => fill(storage, tree, record, { owner, content }));
    } catch (error) {
      const isFull = error instanceof StorageError && error.code === 'out-of-space' && error.reason !== 'HostPressure';
      const failure = isFull ? doesNotFit(content, image?.sizeBytes ?? 0, error) : error;
      await giveUp(storage, uninterrupted, uid).catch(() => undefined);
      throw failure;
    }
  });
}

async function fill(
  storage: Storage,
  tree: Tree,
  record: VolumeRecord,
  { owner, content }: { readonly owner: Owner; readonly content: Content },
): Promise<void> {
  const { uid } = record;
  // It gets its name in one step, when it is whole: then an earlier run came so far.
  if ((await tree.list()).has(DATA_NAME)) await removeStaged(storage, tree, uid);
  else await receiveStaged(storage, tree, uid, content.incoming(tree), (path) => placeData(tree, path, owner));
  await tree.sync();
  await saveRecord(storage.layout, { ...record, initialized: true });
}

async function placeData(tree: Tree, receivedPath: string, owner: Owner): Promise<void> {
  const stagingPath = `${STAGING_NAME}/${DATA_NAME}`;
  await tree.removeSubvolume(stagingPath);
  const staging = `${tree.path}/${stagingPath}`;
  await snapshotSubvolume(tree.run, `${tree.path}/${receivedPath}`, staging, 'ReadWrite');
  await ensureDirectory(tree.run, staging, owner);
  await tree.sync();
  await renameTo(tree.run, staging, `${tree.path}/${DATA_NAME}`);
}

function doesNotFit({ neededBytes }: Content, sizeBytes: number, cause?: unknown): StorageError {
  const needed = neededBytes === undefined ? undefined : neededBytes * (1 + OVERHEAD_PART) + OVERHEAD_BYTES;
  return sourceDoesNotFit(needed, sizeBytes, cause);
}

/** C11: a volume made of something is at least as large as that needs. */
export function sourceDoesNotFit(neededBytes: number | undefined, sizeBytes: number, cause?: unknown): StorageError {
  const [needed, size] = [neededBytes ?? 0, sizeBytes].map((bytes) => Math.ceil(bytes / 1024 ** 2));
  const what = neededBytes === undefined || neededBytes <= sizeBytes ? 'more' : `about ${needed}Mi`;
  return new StorageError(
    'out-of-space',
    `the content of spec.source needs ${what} and does not fit into ${size}Mi; raise spec.size, then it goes on`,
    { reason: 'SourceDoesNotFit', cause },
  );
}

/**
 * The image of a volume that was not filled yet has another size: what there is in it is given up, and it is formatted again.
 * The caller brings it up afterwards.
 */
export async function resizeUnfilled(
  storage: Storage,
  uid: string,
  sizeBytes: number,
  signal?: AbortSignal,
): Promise<void> {
  await storage.withVolume(uid, signal, (run) =>
    attempt('change the size of the volume', () => giveUp(storage, run, uid, sizeBytes)),
  );
}

/**
 * What an image that never was whole has in it is given up, and the space that it takes on the node; it is formatted again
 * then. The caller has the volume's lock. Throws `conflict` for any other image.
 */
export async function giveUp(storage: Storage, run: Run, uid: string, sizeBytes?: number): Promise<void> {
  await takeDown(storage, run, uid);
  const { record, image } = await observePlace(storage, uid);
  if (record === undefined || image === undefined || image.inode !== record.imageInode || record.initialized) {
    throw new StorageError('conflict', 'the image is not the one that is to be filled; it is left as it is', {
      reason: 'ForeignFilesystem',
    });
  }
  const { tree: _, ...unformatted } = record;
  const blank = { ...unformatted, sizeBytes: sizeBytes ?? record.sizeBytes };
  await saveRecord(storage.layout, blank);
  const imagePath = storage.layout.imagePath(uid);
  await truncateFile(run, imagePath, 0);
  await truncateFile(run, imagePath, blank.sizeBytes);
}
