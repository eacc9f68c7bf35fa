import { isDeepStrictEqual } from 'node:util';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { snapshotReasons } from '../../api/reasons-snapshot.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { ApiError } from '../../kube/errors.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, settled, settledAfter } from '../../runtime/outcome.ts';
import type { Place } from '../../runtime/places.ts';
import type { ReconcilerOptions, RunningPass } from '../../runtime/reconciler.ts';
import { StorageError } from '../../storage/errors.ts';
import { removeStaged } from '../../storage/snapshots/receive.ts';
import { observeSnapshot } from '../../storage/snapshots/snapshot.ts';
import type { Tree } from '../../storage/tree.ts';
import { onceLate } from '../once-late.ts';
import { removeObject } from '../pass/removal.ts';
import { tellUnreadable } from '../pass/unreadable.ts';
import { isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import { createVainTries, type VainTries } from '../vain-tries.ts';
import { circumstancesOf } from './circumstances.ts';
import { commit } from './commit.ts';
import { decide, type Refusal } from './decide.ts';
import { type Exports, ensureExports } from './exports.ts';
import { isLong, type Made, makeSnapshot } from './make.ts';
import type { SnapshotReconcilerOptions, Transfer } from './options.ts';
import { createTransferProgress } from './progress.ts';
import { childrenOf, sourceKey, volumeOf } from './relations.ts';
import { snapshotRemoval } from './removal.ts';
import { findSource } from './source.ts';
import { type Report, type Seen, statusOf } from './status.ts';

/** More steps than the longest way (clean, make, commit) means that two of them undo each other. */
const MAX_STEPS = 6;

/** A Snapshot on this node follows its object: make it, commit it, report, and remove it when the object goes. */
export function createSnapshotReconcile(options: SnapshotReconcilerOptions): ReconcilerOptions['reconcile'] {
  const removal = snapshotRemoval(options);
  const vain = createVainTries(options.clock);
  return async (key, signal, pass) => {
    const cached = options.snapshots.get(key);
    if (cached === undefined || cached.status.nodeName !== options.nodeName) {
      options.writer.forget(key);
      return settled;
    }
    const snapshot = options.writer.freshest(cached);
    if (snapshot.metadata.deletionTimestamp !== undefined) {
      vain.forget(snapshot.metadata.uid);
      return await removeObject(options, removal, snapshot, signal);
    }
    return (await tellUnreadable(options, snapshot)) ?? (await new Pass(options, vain, snapshot, signal, pass).run());
  };
}

/** What has to wait for a place. */
type LongWork = 'make' | 'export';

function isLongWork(result: Refusal | LongWork | undefined): result is LongWork {
  return typeof result === 'string';
}

class Pass {
  readonly #options: SnapshotReconcilerOptions;
  readonly #vain: VainTries;
  #snapshot: Snapshot;
  readonly #signal: AbortSignal;
  readonly #pass: RunningPass;
  readonly #uid: string;
  /** For long work, once it was waited for. */
  #place: Place | undefined;
  #made: Made | undefined;
  #seen: Seen | undefined;
  #exports: Exports | undefined;
  #step = '';

  constructor(
    options: SnapshotReconcilerOptions,
    vain: VainTries,
    snapshot: Snapshot,
    signal: AbortSignal,
    pass: RunningPass,
  ) {
    this.#options = options;
    this.#vain = vain;
    this.#snapshot = snapshot;
    this.#signal = signal;
    this.#pass = pass;
    this.#uid = snapshot.metadata.uid;
  }

  async run(): Promise<Outcome> {
    try {
      let result = await this.#inTree();
      if (isLongWork(result)) {
        // Outside of the tree: who waits for a place must not keep it from being unmounted.
        await this.#waitForPlace(result);
        result = await this.#inTree();
      }
      if (isLongWork(result)) throw new Error(`${keyOf(this.#snapshot)} has a place and asks for another`);
      const refusal = result;
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

  #inTree(): Promise<Refusal | LongWork | undefined> {
    return this.#options.storage.withTree(this.#volume().metadata.uid, (tree) => this.#advance(tree));
  }

  /** What is being made is wanted as long as the Snapshot is, and exports as long as they are the same. */
  async #waitForPlace(work: LongWork): Promise<void> {
    const { longPlaces, snapshots, writer } = this.#options;
    const { namespace = '' } = this.#snapshot.metadata;
    const served = work === 'make' ? undefined : this.#snapshot.spec.exports;
    const now = () => snapshots.get(keyOf(this.#snapshot));
    const isWanted = () => {
      const snapshot = now();
      if (snapshot?.metadata.uid !== this.#uid || snapshot.metadata.deletionTimestamp !== undefined) return false;
      return work === 'make' || isDeepStrictEqual(snapshot.spec.exports, served);
    };
    const tell = () => this.#writeTransfer({ phase: 'Waiting' });
    using _late = onceLate(() => void (work === 'make' && tell().catch(() => undefined)));
    const within = this.#volume().metadata.uid;
    this.#place = await this.#pass.moveTo(longPlaces, { namespace, within }, isWanted);
    this.#snapshot = writer.freshest(now() ?? this.#snapshot);
  }

  #volume(): LoopbackVolume {
    return volumeOf(this.#options.volumes, this.#snapshot);
  }

  /** Steps until there is nothing to do; what is in the way is returned. */
  async #advance(tree: Tree): Promise<Refusal | LongWork | undefined> {
    for (let step = 0; step < MAX_STEPS; step++) {
      this.#seen = { ...(await observeSnapshot(tree, this.#uid)), tree };
      const action = decide(this.#snapshot, this.#seen);
      switch (action.kind) {
        case 'rest':
          await this.#makeDurable(tree);
          this.#exports = await ensureExports(this.#options, this.#snapshot, tree, {
            signal: this.#signal,
            place: this.#place,
          });
          return this.#exports.isDue === true ? 'export' : undefined;
        case 'refuse':
          return action.refusal;
        case 'make':
          if ((await this.#make(tree)) === 'long') return 'make';
          break;
        case 'commit':
          await commit(this.#options, this.#snapshot, this.#seen, tree, this.#signal);
          this.#tell('Committed', 'Commit', 'read-only for ever');
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

  async #make(tree: Tree): Promise<'made' | 'long'> {
    if (this.#volume().metadata.deletionTimestamp !== undefined) {
      throw new StorageError('not-ready', 'its volume is being deleted; nothing is made in it any more', {
        reason: 'VolumeNotReady',
      });
    }
    const source = await findSource(this.#options, this.#snapshot, tree, this.#signal);
    const look = () => circumstancesOf(this.#options, this.#snapshot, this.#volume(), source, tree);
    const refused = await this.#vain.refusal(this.#uid, look);
    if (refused !== undefined) throw refused;
    if (isLong(source) && this.#place === undefined) return 'long';
    const progress = createTransferProgress(this.#options.clock, {
      write: (transfer) => this.#writeTransfer(transfer),
      onMoved: () => this.#place?.moved(),
    });
    try {
      const signal = this.#signal;
      const make = { signal, onTransfer: progress.on };
      const run = () => makeSnapshot(this.#options, this.#snapshot, source, tree, make);
      this.#made = isLong(source) ? await this.#vain.run(this.#uid, look, run) : await run();
    } finally {
      await progress.end();
    }
    const made = this.#made.adopted ? 'Adopted' : 'Created';
    const reason = this.#made.transfer === undefined ? made : 'Transferred';
    this.#tell(reason, 'Create', this.#made.text);
    return 'made';
  }

  async #writeTransfer(transfer: Transfer): Promise<void> {
    await this.#writeStatus({ reason: 'Transferring', message: 'see status.transfer', mendedBy: 'time' }, transfer);
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
    const snapshot = writer.actedOn(this.#snapshot);
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
