import { formatTime } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { snapshotReasons } from '../../api/reasons-snapshot.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { ApiError } from '../../kube/errors.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, settled, settledAfter } from '../../runtime/outcome.ts';
import { StorageError } from '../../storage/errors.ts';
import { treeLayout } from '../../storage/layout.ts';
import { commitSnapshot } from '../../storage/snapshots/commit.ts';
import { removeStaged } from '../../storage/snapshots/receive.ts';
import { observeSnapshot } from '../../storage/snapshots/snapshot.ts';
import type { Tree } from '../../storage/tree.ts';
import { removeObject } from '../pass/removal.ts';
import { createProgressWriter } from '../progress-writer.ts';
import { isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import { timeOperation } from '../time-operation.ts';
import { decide, type Refusal } from './decide.ts';
import { type Exports, ensureExports } from './exports.ts';
import { type Made, makeSnapshot } from './make.ts';
import type { SnapshotReconcilerOptions, Transfer } from './options.ts';
import { childrenOf, sourceKey, volumeOf } from './relations.ts';
import { snapshotRemoval } from './removal.ts';
import { type Report, type Seen, statusOf } from './status.ts';

/** More steps than the longest way (clean, make, commit) means that two of them undo each other. */
const MAX_STEPS = 6;

/** A Snapshot on this node follows its object: make it, commit it, report, and remove it when the object goes. */
export function createSnapshotReconcile(
  options: SnapshotReconcilerOptions,
): (key: string, signal: AbortSignal) => Promise<Outcome> {
  const removal = snapshotRemoval(options);
  return async (key, signal) => {
    const cached = options.snapshots.get(key);
    if (cached === undefined || cached.status.nodeName !== options.nodeName) {
      options.writer.forget(key);
      return settled;
    }
    const snapshot = options.writer.freshest(cached);
    if (snapshot.metadata.deletionTimestamp !== undefined)
      return await removeObject(options, removal, snapshot, signal);
    return await new Pass(options, snapshot, signal).run();
  };
}

class Pass {
  readonly #options: SnapshotReconcilerOptions;
  readonly #snapshot: Snapshot;
  readonly #signal: AbortSignal;
  readonly #uid: string;
  #made: Made | undefined;
  #seen: Seen | undefined;
  #exports: Exports | undefined;
  #step = '';

  constructor(options: SnapshotReconcilerOptions, snapshot: Snapshot, signal: AbortSignal) {
    this.#options = options;
    this.#snapshot = snapshot;
    this.#signal = signal;
    this.#uid = snapshot.metadata.uid;
  }

  async run(): Promise<Outcome> {
    try {
      const refusal = await this.#options.storage.withTree(this.#volume().metadata.uid, (tree) => this.#advance(tree));
      await this.#write(refusal);
      const trouble = refusal ?? this.#exports?.refusal;
      if (trouble !== undefined) return outcomeOf(trouble);
      return this.#step === '' ? settled : settledAfter(this.#step);
    } catch (error) {
      // What the API server refuses is no failure of the Snapshot.
      if (this.#signal.aborted || error instanceof ApiError) throw error;
      const refusal = refusalOf(error, snapshotReasons);
      await this.#write(refusal);
      if (isRetried(error)) throw error;
      return outcomeOf(refusal);
    }
  }

  #volume(): LoopbackVolume {
    return volumeOf(this.#options.volumes, this.#snapshot);
  }

  /** Steps until there is nothing to do; what is in the way is returned. */
  async #advance(tree: Tree): Promise<Refusal | undefined> {
    for (let step = 0; step < MAX_STEPS; step++) {
      this.#seen = { ...(await observeSnapshot(tree, this.#uid)), tree };
      const action = decide(this.#snapshot, this.#seen);
      switch (action.kind) {
        case 'rest':
          await this.#makeDurable(tree);
          this.#exports = await ensureExports(this.#options, this.#snapshot, tree, this.#signal);
          return undefined;
        case 'refuse':
          return action.refusal;
        case 'make':
          await this.#make(tree);
          break;
        case 'commit':
          await this.#commit(tree);
          break;
        case 'clean':
          await removeStaged(this.#options.storage, tree, this.#uid);
          this.#step = 'cleaned';
          break;
        default:
          action satisfies never;
      }
    }
    throw new Error(`${keyOf(this.#snapshot)} does not come to rest after ${MAX_STEPS} steps`);
  }

  /** A run that ended between the rename into its place and the sync leaves it there, and perhaps not on disk (rule 4). */
  async #makeDurable(tree: Tree): Promise<void> {
    const { writable, committed } = this.#seen ?? {};
    // A committed one was put there by a snapshot, which is on disk at once, unless it was adopted.
    const renamed = writable ?? (this.#snapshot.spec.source.adopt === undefined ? undefined : committed);
    if (this.#made !== undefined || renamed === undefined) return;
    if (renamed.uuid !== this.#snapshot.status.uuid) await tree.sync();
  }

  async #make(tree: Tree): Promise<void> {
    if (this.#volume().metadata.deletionTimestamp !== undefined) {
      throw new StorageError('not-ready', 'its volume is being deleted; nothing is made in it any more', {
        reason: 'VolumeNotReady',
      });
    }
    const { clock } = this.#options;
    let before: { readonly bytes: number; readonly atMs: number } | undefined;
    const progress = createProgressWriter<Transfer>(clock, async (transfer) => {
      const atMs = clock.monotonicMs();
      const bytes = transfer.bytes ?? 0;
      const bytesPerSecond =
        before === undefined ? undefined : Math.round(((bytes - before.bytes) * 1000) / (atMs - before.atMs));
      before = { bytes, atMs };
      const updatedAt = formatTime(clock.now());
      await this.#writeStatus(
        { reason: 'Transferring', message: 'see status.transfer', mendedBy: 'time' },
        {
          ...transfer,
          updatedAt,
          ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
        },
      );
    });
    try {
      const signal = this.#signal;
      this.#made = await makeSnapshot(this.#options, this.#snapshot, tree, { signal, onTransfer: progress.on });
    } finally {
      await progress.end();
    }
    const made = this.#made.adopted ? 'Adopted' : 'Created';
    const reason = this.#made.transfer === undefined ? made : 'Transferred';
    this.#tell(reason, 'Create', this.#made.text);
  }

  async #commit(tree: Tree): Promise<void> {
    const writablePath = treeLayout.writablePath(this.#uid);
    const pods = await this.#options.podsUsing(`${tree.path}/${treeLayout.snapshotPath(this.#uid)}`);
    if (pods.length > 0) {
      const message = `it can't be committed while pods have it mounted: ${pods.join(', ')}; stop them`;
      throw new StorageError('in-use', message, { reason: 'InUse' });
    }
    if (this.#seen?.committed === undefined && (await tree.hasNested(writablePath))) {
      const message = `subvolumes lie in it, which a committed Snapshot could not contain; delete them, or move their content (btrfs subvolume list -o on the node shows them)`;
      throw new StorageError('conflict', message, { reason: 'NestedSubvolumes' });
    }
    const { clock, onOperation } = this.#options;
    const operation = { operation: 'commit', signal: this.#signal, clock };
    await timeOperation(operation, onOperation, () => commitSnapshot(tree, this.#uid));
    this.#tell('Committed', 'Commit', 'read-only for ever');
  }

  #tell(reason: string, action: string, text: string): void {
    this.#step = reason;
    this.#options.events.record(this.#snapshot, 'Normal', reason, action, text);
  }

  async #write(refusal: Refusal | undefined): Promise<void> {
    await this.#writeStatus(refusal, this.#made?.transfer);
    if (refusal === undefined) return;
    this.#options.events.record(this.#snapshot, 'Warning', refusal.reason, 'Reconcile', refusal.message);
  }

  async #writeStatus(refusal: Refusal | undefined, transfer: Transfer | undefined): Promise<void> {
    const { writer, snapshots, clock } = this.#options;
    const snapshot = writer.freshest(this.#snapshot);
    const key = sourceKey(snapshot);
    const report: Report = {
      snapshot,
      seen: this.#seen,
      refusal,
      children: childrenOf(snapshot, snapshots),
      parent: this.#made?.parent ?? (key === undefined ? undefined : snapshots.get(key)),
      nested: this.#made?.nested,
      transfer,
      exports: this.#exports?.written,
      exportRefusal: this.#exports?.refusal,
      now: clock.now(),
    };
    await writer.write(snapshot, statusOf(report));
  }
}
