import { formatTime } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { loopbackVolumeReasons } from '../../api/reasons.ts';
import { ApiError } from '../../kube/errors.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, settled } from '../../runtime/outcome.ts';
import type { Place } from '../../runtime/places.ts';
import type { ReconcilerOptions, RunningPass } from '../../runtime/reconciler.ts';
import { StorageError } from '../../storage/errors.ts';
import { readUsage, type Usage } from '../../storage/volumes/glance.ts';
import { observeVolume, type VolumeObservation } from '../../storage/volumes/observe.ts';
import { rememberRefusedShrink } from '../../storage/volumes/resize-refusal.ts';
import { onceLate } from '../once-late.ts';
import { removeObject } from '../pass/removal.ts';
import { tellUnreadable } from '../pass/unreadable.ts';
import { isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import { apply, targetOf } from './apply.ts';
import { circumstancesOf } from './circumstances.ts';
import { type Action, type Decision, decide, type Memory, type Refusal } from './decide.ts';
import { noteErrors } from './failing.ts';
import { healingRefusal, noteHealing } from './healing.ts';
import { enterLong, isLong } from './long.ts';
import type { VolumeReconcilerOptions } from './options.ts';
import { createStepProgress, waitingFor } from './progress.ts';
import { createRefused, forgetRefused, type Refused, refusedFillOf, refusedShrinkOf } from './refused.ts';
import { volumeRemoval } from './removal.ts';
import type { Import, Report } from './report.ts';
import { roundingOf } from './rounding.ts';
import { statusOf } from './status.ts';
import { namingPods } from './users.ts';
import { type Wish, wishOf } from './wish.ts';

/** More steps than the longest way (image, bring up, tune, minimize, resize) means that two of them undo each other. */
const MAX_STEPS = 10;

/** A volume on this node follows its object: bring it up, keep it so, report, and remove it when the object goes. */
export function createVolumeReconcile(options: VolumeReconcilerOptions): ReconcilerOptions['reconcile'] {
  const refused = createRefused(options.clock);
  return async (key, signal, pass) => {
    const cached = options.cached(key);
    if (cached === undefined || cached.status.nodeName !== options.nodeName) {
      options.writer.forget(key);
      return settled;
    }
    const volume = options.writer.freshest(cached);
    if (volume.metadata.deletionTimestamp === undefined)
      return (await tellUnreadable(options, volume)) ?? (await new Pass(options, refused, volume, signal, pass).run());
    forgetRefused(refused, volume.metadata.uid);
    return await removeObject(options, volumeRemoval(options), volume, signal);
  };
}

class Pass {
  readonly #options: VolumeReconcilerOptions;
  readonly #refused: Refused;
  #volume: LoopbackVolume;
  #wish: Wish;
  readonly #signal: AbortSignal;
  readonly #pass: RunningPass;
  readonly #uid: string;
  /** For long steps, once one was waited for. */
  #place: Place | undefined;
  #exportRefusal: Refusal | undefined;
  #tuneFailure: StorageError | undefined;
  #import: Import | undefined;

  constructor(
    options: VolumeReconcilerOptions,
    refused: Refused,
    volume: LoopbackVolume,
    signal: AbortSignal,
    pass: RunningPass,
  ) {
    this.#options = options;
    this.#pass = pass;
    this.#refused = refused;
    this.#volume = volume;
    this.#signal = signal;
    this.#wish = wishOf(volume);
    this.#uid = volume.metadata.uid;
  }

  async run(): Promise<Outcome> {
    let seen: VolumeObservation | undefined;
    try {
      for (let step = 0; step < MAX_STEPS; step++) {
        seen = await observeVolume(this.#options.storage, this.#uid);
        const decision = decide(this.#wish, seen, this.#options.hostFacts(this.#volume), await this.#memory(seen));
        this.#exportRefusal ??= decision.exportRefusal;
        if (decision.action.kind === 'rest' || this.#exportRefusal !== undefined)
          return await this.#rest(seen, decision);
        if (decision.action.kind === 'refuse') return await this.#refuse(seen, decision.action.refusal);
        // What was seen before the wait for a place is old.
        if (isLong(decision.action, seen) && (await this.#waitForPlace(decision.action, seen))) continue;
        await this.#apply(decision, seen);
      }
      throw new Error(`${keyOf(this.#volume)} does not come to rest after ${MAX_STEPS} steps`);
    } catch (error) {
      return await this.#fail(error);
    }
  }

  async #memory(seen: VolumeObservation): Promise<Memory> {
    return {
      refusedOptions: this.#options.storage.refusedOptions.get(this.#uid) ?? [],
      refusedShrink: refusedShrinkOf(seen, (await this.#usage(seen))?.usedBytes, {
        busy: this.#refused.busy.get(this.#uid),
        now: this.#options.clock.now(),
      }),
      tuneFailed: this.#tuneFailure !== undefined,
      refusedFill: await refusedFillOf(this.#refused.fills, this.#options.content, this.#volume),
      unhealed: healingRefusal(this.#refused.heals, this.#uid, seen.tree, this.#options.clock.now()),
      hadData: this.#volume.status.filesystemUUID !== undefined,
    };
  }

  /** The pass has a place for the long step. True if it had to wait for one: then it looks at everything anew. */
  async #waitForPlace(action: Action, seen: VolumeObservation): Promise<boolean> {
    const { longPlaces: places, clock, cached, writer } = this.#options;
    const now = () => cached(keyOf(this.#volume));
    const isNew = this.#place === undefined;
    using _late = onceLate(() => void this.#writeProgress(seen, waitingFor(action, clock)).catch(() => undefined));
    const step = { places, volume: this.#volume, wish: this.#wish, action, now };
    this.#place = await enterLong(this.#pass, step);
    this.#volume = writer.freshest(now() ?? this.#volume);
    this.#wish = wishOf(this.#volume);
    return isNew;
  }

  async #apply({ action }: Decision, seen: VolumeObservation): Promise<void> {
    this.#signal.throwIfAborted();
    const { clock, events } = this.#options;
    const { busy, fills, heals } = this.#refused;
    const progress = createStepProgress(action, clock, {
      write: (entry) => this.#writeProgress(seen, entry),
      onMoved: () => this.#place?.moved(),
    });
    try {
      const run = () =>
        apply(this.#options, this.#volume, this.#wish, action, {
          ...progress,
          signal: this.#signal,
          onUnmount: () => noteHealing(heals, this.#uid, clock.now()),
          // What can be done beside a writer was done the first time.
          onlyWhenQuiet: busy.get(this.#uid)?.targetBytes === targetOf(action, this.#wish),
        });
      const look = () => circumstancesOf(this.#options.content, this.#volume);
      const note = await (action.kind === 'fill' ? fills.run(this.#uid, look, run) : run());
      if (action.kind === 'resize' || action.kind === 'minimize') busy.delete(this.#uid);
      const updatedAt = formatTime(clock.now());
      if (action.kind === 'fill') this.#import = { phase: 'Done', bytes: progress.bytes(), updatedAt };
      events.record(this.#volume, 'Normal', note.reason, note.action, note.text);
    } catch (error) {
      await this.#remember(action, seen, error);
    } finally {
      await progress.end();
    }
  }

  async #writeProgress(seen: VolumeObservation, entry: Pick<Report, 'progress' | 'import'>): Promise<void> {
    const status = statusOf({ ...(await this.#report(seen, undefined)), ...entry });
    await this.#options.writer.write(this.#volume, status);
  }

  /** Keeps in mind what would fail again, or does not concern the volume itself; throws anything else. */
  async #remember(action: Action, seen: VolumeObservation, error: unknown): Promise<void> {
    if (!(error instanceof StorageError) || this.#signal.aborted) throw error;
    if (error.reason === 'ShrinkDoesNotFit') {
      const { storage } = this.#options;
      const usedBytes = (await this.#usage(seen))?.usedBytes ?? 0;
      const refused = { targetBytes: targetOf(action, this.#wish), usedBytes, message: error.message };
      await rememberRefusedShrink(storage, this.#uid, refused, this.#signal);
    } else if (error.reason === 'BusyVolume') {
      const { reason, message } = error;
      const triedAt = this.#options.clock.now();
      this.#refused.busy.set(this.#uid, { targetBytes: targetOf(action, this.#wish), reason, message, triedAt });
    } else if (action.kind === 'tune' && ['failed', 'out-of-space'].includes(error.code)) {
      this.#tuneFailure = error;
    } else if (action.kind === 'export') {
      const refusal = refusalOf(error, loopbackVolumeReasons);
      const isPlain = refusal.reason === 'CommandFailed';
      this.#exportRefusal = isPlain ? { ...refusal, reason: 'ExportFailed' } : refusal;
    } else throw error;
  }

  async #rest(seen: VolumeObservation, { resizeRefusal }: Decision): Promise<Outcome> {
    if (this.#tuneFailure !== undefined) return await this.#fail(this.#tuneFailure, resizeRefusal);
    await this.#write(seen, undefined, resizeRefusal);
    const note = roundingOf(this.#volume, this.#wish.sizeBytes);
    if (note !== undefined) this.#options.events.record(this.#volume, 'Normal', 'SizeRounded', 'Create', note);
    const refusal = resizeRefusal ?? this.#exportRefusal;
    return refusal === undefined ? settled : outcomeOf(refusal);
  }

  async #refuse(seen: VolumeObservation, refusal: Refusal): Promise<Outcome> {
    await this.#write(seen, refusal);
    return outcomeOf(refusal);
  }

  async #fail(error: unknown, resizeRefusal?: Refusal): Promise<Outcome> {
    // What the API server refuses is no failure of the volume.
    if (this.#signal.aborted || error instanceof ApiError) throw error;
    const seen = await observeVolume(this.#options.storage, this.#uid).catch(() => undefined);
    const refusal = await namingPods(this.#options, this.#uid, refusalOf(error, loopbackVolumeReasons));
    await this.#write(seen, refusal, resizeRefusal);
    if (isRetried(error)) throw error;
    return outcomeOf(refusal);
  }

  async #write(
    seen: VolumeObservation | undefined,
    failure: Refusal | undefined,
    resizeRefusal?: Refusal,
  ): Promise<void> {
    const report = await this.#report(seen, failure);
    const { events, writer, onUsage } = this.#options;
    const sizeBytes = seen?.image?.sizeBytes;
    const { usage } = report;
    onUsage(this.#volume, usage === undefined || sizeBytes === undefined ? undefined : { ...usage, sizeBytes });
    await writer.write(this.#volume, statusOf({ ...report, resizeRefusal }));
    const trouble = failure ?? resizeRefusal ?? this.#exportRefusal;
    if (trouble !== undefined) events.record(this.#volume, 'Warning', trouble.reason, 'Reconcile', trouble.message);
  }

  async #report(seen: VolumeObservation | undefined, failure: Refusal | undefined): Promise<Report> {
    const { storage, clock, hostFacts } = this.#options;
    return {
      volume: this.#options.writer.actedOn(this.#volume),
      wish: this.#wish,
      seen,
      usage: await this.#usage(seen),
      failure,
      failing: noteErrors(this.#refused.failures, this.#uid, seen?.tree?.deviceErrors, clock.now()),
      exportRefusal: this.#exportRefusal,
      import: this.#import,
      hostPressure: hostFacts(this.#volume).pressure,
      imagePath: storage.layout.imagePath(this.#uid),
      exportsPath: storage.layout.exportsPath,
      now: clock.now(),
    };
  }

  async #usage(seen: VolumeObservation | undefined): Promise<Usage | undefined> {
    const { record, tree } = seen ?? {};
    if (record === undefined || tree === undefined) return undefined;
    const { filesystemUUID } = record;
    const sizeBytes = tree.filesystemSizeBytes;
    return await readUsage(this.#options.storage, { uid: this.#uid, filesystemUUID, sizeBytes });
  }
}
