import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { makePipe, readBytesRead, receiveStream, type SendOptions, sendCommand } from '../../host/btrfs-stream.ts';
import { CommandError } from '../../host/command.ts';
import { createRun } from '../../host/run.ts';
import { createSubvolume } from '../../host/subvolume.ts';
import { type ListedSubvolume, listSubvolumesIn } from '../../host/subvolume-list.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { treeLayout } from '../layout.ts';
import { adaptIncrement, copyOfParent } from '../streams/adapt-increment.ts';
import type { IncomingStream } from '../streams/incoming-stream.ts';
import type { Tree } from '../tree.ts';
import { createSnapshot, type NewSnapshot } from './create.ts';
import { mountReceiving, removeReceiving } from './receiving-mount.ts';
import type { TreeIdentity } from './snapshot.ts';
import { watchForStall } from './stall-watch.ts';

/** How often the bytes of a transfer are looked at. */
const LOOK_MS = 500;

export interface Incoming {
  /** What the received subvolume has to be known by; undefined: whatever the stream says. */
  readonly expectedUUID: string | undefined;
  /** Fills the directory, and throws unless the stream was whole at its very end. */
  readonly receive: (staging: Staging) => Promise<void>;
}

export interface Staging {
  /** An empty subvolume in the tree of the volume. */
  readonly path: string;
  readonly subvolumeID: number;
  readonly tree: Tree;
}

/**
 * The Snapshot is in its place, made of what was received: in staging, verified and on disk before (rules 4 and 5). What a broken
 * run leaves is in staging, and the next run removes it first. Throws what `incoming.receive` throws.
 */
export async function receiveSnapshot(
  storage: Storage,
  tree: Tree,
  identity: TreeIdentity,
  wanted: Pick<NewSnapshot, 'access' | 'owner'>,
  incoming: Incoming,
): Promise<void> {
  const { uid } = identity;
  await attempt('receive the Snapshot', () =>
    receiveStaged(storage, tree, uid, incoming, (sourcePath) =>
      createSnapshot(tree, identity, {
        ...wanted,
        sourcePath,
        stagingPath: `${treeLayout.stagingPath(uid)}/${MADE_NAME}`,
      }),
    ),
  );
}

/**
 * Runs `use` with the path in the tree of the subvolume that was received, verified and on disk; afterwards it is gone, with all
 * else that was staged under this uid.
 */
export async function receiveStaged(
  storage: Storage,
  tree: Tree,
  uid: string,
  incoming: Incoming,
  use: (receivedPath: string) => Promise<void>,
): Promise<void> {
  const stagingPath = treeLayout.stagingPath(uid);
  const path = `${tree.path}/${stagingPath}`;
  await removeStaged(storage, tree, uid);
  await tree.makeAreas();
  await createSubvolume(tree.run, path);
  try {
    await incoming.receive({ path, subvolumeID: (await tree.list()).get(stagingPath)?.id ?? 0, tree });
    await tree.sync();
    const received = await findReceived(tree, path, incoming.expectedUUID);
    const receivedPath = `${stagingPath}/${received.path.slice(received.path.lastIndexOf('/') + 1)}`;
    await use(receivedPath);
    await removeReceiving(storage, storage.layout.receivingPath(uid));
    await tree.removeSubvolumes([receivedPath, `${stagingPath}/${PARENT_NAME}`, stagingPath]);
  } catch (error) {
    await removeStaged(storage, tree, uid).catch(() => undefined);
    throw error;
  }
}

/** Nothing is left of an earlier {@link receiveStaged} under this uid. */
export async function removeStaged(storage: Storage, tree: Tree, uid: string): Promise<void> {
  await removeReceiving(storage, storage.layout.receivingPath(uid));
  await tree.removeSubvolume(treeLayout.stagingPath(uid));
}

/** A received subvolume counts only when it is read-only and has the expected received UUID. */
async function findReceived(tree: Tree, path: string, expectedUUID: string | undefined): Promise<ListedSubvolume> {
  const readOnly = await listSubvolumesIn(tree.run, path, 'read-only');
  const whole = readOnly
    .filter(({ path: found }) => !found.endsWith(`/${PARENT_NAME}`))
    .filter(({ receivedUUID }) => receivedUUID !== undefined);
  const received = whole.filter(({ receivedUUID }) => expectedUUID === undefined || receivedUUID === expectedUUID);
  if (received.length === 1 && received[0] !== undefined) return received[0];
  throw brokenOff();
}

function brokenOff(): StorageError {
  return new StorageError('failed', 'the stream ended, but what was received is not the whole subvolume', {
    reason: 'TransferFailed',
  });
}

export interface LocalTransfer {
  readonly send: SendOptions;
  /** That of the volume which it comes from. */
  readonly sourceTree: Tree;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/** Sends from one volume of this node to another, through a pipe of the kernel. */
export function receiveLocally(storage: Storage, uid: string, transfer: LocalTransfer) {
  const { send, sourceTree, signal, onBytes } = transfer;
  return async ({ path, tree }: Staging): Promise<void> => {
    const pipePath = storage.layout.pipePath(uid);
    await rm(pipePath, { force: true });
    await makePipe(storage.run, pipePath);
    // Each opens its end of the pipe and waits for the other: when one fails the other has to be ended.
    const abort = new AbortController();
    const runIn = ({ transferOptions }: Tree) =>
      createRun({ ...transferOptions(), signal: AbortSignal.any([signal, abort.signal]) });
    let pid: number | undefined;
    const look = setInterval(() => void lookAt(pid, onBytes), LOOK_MS);
    try {
      const both = [
        runIn(sourceTree)(sendCommand(send, pipePath)),
        receiveStream(runIn(tree), { path, onStart: (started) => (pid = started) }, pipePath),
      ].map((end) =>
        end.catch((error: unknown) => {
          abort.abort();
          throw error;
        }),
      );
      const ends = await Promise.allSettled(both);
      const failures = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
      const first = failures.find((error) => !isConsequence(error));
      if (failures.length > 0) throw first ?? failures[0];
    } finally {
      clearInterval(look);
      await rm(pipePath, { force: true });
    }
  };
}

/** The one that was ended because of the other says nothing. */
function isConsequence(error: unknown): boolean {
  if (!(error instanceof CommandError)) return false;
  const { aborted, signal, stderrTail } = error.failure;
  return aborted || signal === 'SIGPIPE' || /Broken pipe/.test(stderrTail);
}

async function lookAt(pid: number | undefined, onBytes: (bytes: number) => void): Promise<void> {
  const bytes = pid === undefined ? undefined : await readBytesRead(pid);
  if (bytes !== undefined) onBytes(bytes);
}

/** What is made in staging beside the received subvolume. */
const PARENT_NAME = '.parent';
const MADE_NAME = '.made';

/**
 * Receives what another node or a file says: confined to the staging subvolume, which is all that is mounted there, and on a
 * mount that gives no device, setuid, program or symlink any meaning (rule 15).
 */
export function receiveConfined(
  storage: Storage,
  tree: Tree,
  uid: string,
  { incoming, signal }: { readonly incoming: IncomingStream; readonly signal: AbortSignal },
) {
  return async ({ path: stagingPath, subvolumeID }: Staging): Promise<void> => {
    const { summary, stream } = incoming;
    refuseTakenName(summary.name);
    using watch = watchForStall(() => stream.summary()?.bytes ?? 0);
    const run = createRun({ ...tree.transferOptions(), signal: AbortSignal.any([signal, watch.signal]) });
    let input: Readable = stream;
    if (summary.parentUuid !== undefined) {
      const alias = randomUUID();
      await copyParent(tree, stagingPath, summary.parentUuid, alias);
      // Also of a stream that has failed meanwhile: its reader has to learn of it.
      const parent = { from: summary.parentUuid, to: alias };
      const { allowSetuid } = incoming.limits;
      input = pipeline(stream, adaptIncrement({ parent, allowSetuid }), () => undefined);
    }
    const path = await mountReceiving(storage, tree, uid, subvolumeID);
    try {
      await receiveStream(run, { path, rights: incoming.limits }, input);
    } catch (error) {
      if (watch.signal.aborted && !signal.aborted) {
        throw new StorageError('failed', 'btrfs receive took nothing for 5 minutes and was ended', {
          reason: 'TransferFailed',
          cause: error,
        });
      }
      // Receive is killed when its input fails: that is the reason then.
      throw isOfReader(stream.errored) ? error : stream.errored;
    }
    // NOTE: a receive whose input was cut between two commands may come to a good end before it is killed.
    if (!stream.writableFinished) throw stream.errored ?? brokenOff();
  };
}

/** True unless the stream failed by itself: when receive ends early, what it read from breaks as well. */
function isOfReader(error: Error | null): boolean {
  if (error === null) return true;
  return (
    'code' in error && ['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'].includes(String(error.code))
  );
}

function refuseTakenName(name: string): void {
  if (name !== PARENT_NAME && name !== MADE_NAME) return;
  throw new StorageError('refused', `could not accept the stream: its subvolume is called ${name}, which is taken`, {
    reason: 'StreamRefused',
  });
}

/** Receive, confined, sees nothing but its staging: the parent of an increment has to be there, under a name of its own. */
async function copyParent(tree: Tree, stagingPath: string, parentUuid: string, alias: string): Promise<void> {
  const known = [...(await tree.listReadOnly()).values()].some(
    ({ uuid, receivedUUID }) => uuid === parentUuid || receivedUUID === parentUuid,
  );
  if (!known) {
    throw new StorageError(
      'not-ready',
      `the stream is the difference to subvolume ${parentUuid}, which the volume does not have; import that one first, or use a full stream`,
      { reason: 'ParentMissing' },
    );
  }
  const copy = Readable.from([copyOfParent(PARENT_NAME, alias, parentUuid)]);
  await receiveStream(tree.run, { path: stagingPath }, copy);
}
