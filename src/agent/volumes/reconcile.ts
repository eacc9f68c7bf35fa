import { isTrue } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { formatBytes, parseQuantity } from '../../api/quantity.ts';
import { loopbackVolumeReasons } from '../../api/reasons.ts';
import { ApiError } from '../../kube/errors.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, settled } from '../../runtime/outcome.ts';
import { StorageError } from '../../storage/errors.ts';
import { readUsage, type Usage } from '../../storage/volumes/glance.ts';
import { observeVolume, type VolumeObservation } from '../../storage/volumes/observe.ts';
import { isAboutUsers, isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import { apply } from './apply.ts';
import { type Decision, decide, type Memory, type Refusal } from './decide.ts';
import { finalize } from './finalize.ts';
import type { VolumeReconcilerOptions } from './options.ts';
import { createProgress } from './progress.ts';
import type { Report } from './report.ts';
import { statusOf } from './status.ts';
import { type Wish, wishOf } from './wish.ts';

/** More steps than the longest way (image, bring up, tune, minimize, resize) means that two of them undo each other. */
const MAX_STEPS = 10;

/** A volume on this node follows its object: bring it up, keep it so, report, and remove it when the object goes. */
export function createVolumeReconcile(
  options: VolumeReconcilerOptions,
): (key: string, signal: AbortSignal) => Promise<Outcome> {
  const refusedShrinks = new Map<string, RefusedShrink>();
  return async (key, signal) => {
    const cached = options.cached(key);
    if (cached === undefined || cached.status.nodeName !== options.nodeName) {
      options.writer.forget(key);
      return settled;
    }
    const volume = options.writer.freshest(cached);
    if (volume.metadata.deletionTimestamp === undefined)
      return await new Pass(options, refusedShrinks, volume, signal).run();
    refusedShrinks.delete(volume.metadata.uid);
    return await finalize(options, volume, signal);
  };
}

/** A shrink that was tried in vain, and how full the volume was then: worth another try when data has gone. */
interface RefusedShrink {
  readonly targetBytes: number;
  readonly message: string;
  readonly usedBytes: number;
}

/** Less used than at the refusal by this part of the size makes another try worth its work. */
const FREED_PART = 0.01;

class Pass {
  readonly #options: VolumeReconcilerOptions;
  readonly #refusedShrinks: Map<string, RefusedShrink>;
  readonly #volume: LoopbackVolume;
  readonly #signal: AbortSignal;
  readonly #wish: Wish;
  readonly #uid: string;

  constructor(
    options: VolumeReconcilerOptions,
    refusedShrinks: Map<string, RefusedShrink>,
    volume: LoopbackVolume,
    signal: AbortSignal,
  ) {
    this.#options = options;
    this.#refusedShrinks = refusedShrinks;
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
        if (decision.action.kind === 'rest') return await this.#rest(seen, decision);
        if (decision.action.kind === 'refuse') return await this.#refuse(seen, decision.action.refusal);
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
      refusedShrink: await this.#refusedShrink(seen),
      hadData: this.#volume.status.filesystemUUID !== undefined,
    };
  }

  async #refusedShrink(seen: VolumeObservation): Promise<RefusedShrink | undefined> {
    const refused = this.#refusedShrinks.get(this.#uid);
    if (refused === undefined) return undefined;
    const usedBytes = (await this.#usage(seen))?.usedBytes ?? 0;
    if (usedBytes > refused.usedBytes - FREED_PART * (seen.image?.sizeBytes ?? 0)) return refused;
    this.#refusedShrinks.delete(this.#uid);
    return undefined;
  }

  async #apply({ action }: Decision, seen: VolumeObservation): Promise<void> {
    this.#signal.throwIfAborted();
    const progress = createProgress(action, this.#options.clock, async (entry) => {
      const status = statusOf({ ...(await this.#report(seen, undefined)), progress: entry });
      await this.#options.writer.write(this.#volume, status);
    });
    try {
      const note = await apply(this.#options.storage, this.#volume, this.#wish, action, {
        signal: this.#signal,
        onProgress: progress.on,
      });
      this.#refusedShrinks.delete(this.#uid);
      this.#options.events.record(this.#volume, 'Normal', note.reason, note.action, note.text);
    } catch (error) {
      if (!(error instanceof StorageError) || error.reason !== 'ShrinkDoesNotFit') throw error;
      const targetBytes = action.kind === 'resize' ? action.targetBytes : this.#wish.sizeBytes;
      const usedBytes = (await this.#usage(seen))?.usedBytes ?? 0;
      this.#refusedShrinks.set(this.#uid, { targetBytes, message: error.message, usedBytes });
    } finally {
      await progress.end();
    }
  }

  async #rest(seen: VolumeObservation, { resizeRefusal }: Decision): Promise<Outcome> {
    await this.#write(seen, undefined, resizeRefusal);
    this.#tellRounding();
    return resizeRefusal === undefined ? settled : outcomeOf(resizeRefusal);
  }

  async #refuse(seen: VolumeObservation, refusal: Refusal): Promise<Outcome> {
    await this.#write(seen, refusal);
    return outcomeOf(refusal);
  }

  async #fail(error: unknown): Promise<Outcome> {
    // What the API server refuses is no failure of the volume.
    if (this.#signal.aborted || error instanceof ApiError) throw error;
    const seen = await observeVolume(this.#options.storage, this.#uid).catch(() => undefined);
    const refusal = await this.#namingPods(refusalOf(error, loopbackVolumeReasons));
    await this.#write(seen, refusal);
    if (isRetried(error)) throw error;
    return outcomeOf(refusal);
  }

  async #namingPods(refusal: Refusal): Promise<Refusal> {
    if (!isAboutUsers(refusal)) return refusal;
    const pods = await this.#options.podsUsing(this.#options.storage.layout.volumePath(this.#uid));
    return pods.length === 0 ? refusal : { ...refusal, message: `${refusal.message}. Pods: ${pods.join(', ')}` };
  }

  async #write(
    seen: VolumeObservation | undefined,
    failure: Refusal | undefined,
    resizeRefusal?: Refusal,
  ): Promise<void> {
    const report = await this.#report(seen, failure);
    const { events, writer, onUsage } = this.#options;
    const sizeBytes = seen?.image?.sizeBytes;
    onUsage(
      this.#volume,
      report.usage === undefined || sizeBytes === undefined ? undefined : { ...report.usage, sizeBytes },
    );
    await writer.write(this.#volume, statusOf({ ...report, resizeRefusal }));
    const trouble = failure ?? resizeRefusal;
    if (trouble !== undefined) events.record(this.#volume, 'Warning', trouble.reason, 'Reconcile', trouble.message);
  }

  async #report(seen: VolumeObservation | undefined, failure: Refusal | undefined): Promise<Report> {
    const { storage, clock, hostFacts } = this.#options;
    return {
      volume: this.#options.writer.freshest(this.#volume),
      wish: this.#wish,
      seen,
      usage: await this.#usage(seen),
      failure,
      hostPressure: hostFacts(this.#volume).pressure,
      imagePath: storage.layout.imagePath(this.#uid),
      now: clock.now(),
    };
  }

  async #usage(seen: VolumeObservation | undefined): Promise<Usage | undefined> {
    const { record, tree } = seen ?? {};
    if (record === undefined || tree === undefined) return undefined;
    const { filesystemUUID } = record;
    return await readUsage(this.#options.storage, {
      uid: this.#uid,
      filesystemUUID,
      sizeBytes: tree.filesystemSizeBytes,
    });
  }

  /** A size between two sectors is rounded up: said once, where the spec stays as it is. */
  #tellRounding(): void {
    const asked = parseQuantity(this.#volume.spec.size);
    const { status, metadata } = this.#volume;
    const told = status.observedGeneration === metadata.generation && isTrue(status.conditions, 'Ready');
    if (asked === this.#wish.sizeBytes || status.sizeBytes === this.#wish.sizeBytes || told) return;
    const note = `spec.size ${this.#volume.spec.size} is ${asked} bytes, rounded up to ${this.#wish.sizeBytes} (${formatBytes(this.#wish.sizeBytes)}), a multiple of 4096`;
    this.#options.events.record(this.#volume, 'Normal', 'SizeRounded', 'Create', note);
  }
}
