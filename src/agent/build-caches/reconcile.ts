import type { BuildCache } from '../../api/build-cache.ts';
import { MAX_LISTED } from '../../api/build-cache-status.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { buildCacheReasons } from '../../api/reasons-build-cache.ts';
import { ApiError } from '../../kube/errors.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, recheck, settled, settledAfter } from '../../runtime/outcome.ts';
import { adoptCache } from '../../storage/caches/adopt.ts';
import {
  beginCache,
  type CacheObservation,
  makeFirstGeneration,
  observeCache,
  resetCache,
} from '../../storage/caches/cache.ts';
import { removeGenerations } from '../../storage/caches/remove.ts';
import type { Tree } from '../../storage/tree.ts';
import { removeObject } from '../pass/removal.ts';
import { tellUnreadable } from '../pass/unreadable.ts';
import { proveOrphan } from '../prove-orphan.ts';
import { isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import { volumeOf } from '../snapshots/relations.ts';
import { type Action, decide } from './decide.ts';
import type { BuildCacheReconcilerOptions, Refusal } from './options.ts';
import { keepFree, keptGenerations, readAnew } from './prune.ts';
import { claimsOf } from './relations.ts';
import { buildCacheRemoval } from './removal.ts';
import { findSeed } from './seed.ts';
import { statusOf } from './status.ts';
import { claimsToName, removeStrays } from './strays.ts';

/** More steps than the longest way (begin, reset, make, prune) means that two of them undo each other. */
const MAX_STEPS = 6;
/** When to look again whether what is left over can go: no watch tells that it is unmounted. */
const HELD_MS = 15_000;
const DEFAULT_OWNER = { uid: 0, gid: 0, mode: '0755' };

/** A BuildCache on this node follows its object: make its first generation, reset it, prune it, report, and remove it with the object. */
export function createBuildCacheReconcile(
  options: BuildCacheReconcilerOptions,
): (key: string, signal: AbortSignal) => Promise<Outcome> {
  const removal = buildCacheRemoval(options);
  return async (key, signal) => {
    const cached = options.caches.get(key);
    if (cached === undefined || cached.status.nodeName !== options.nodeName) {
      options.writer.forget(key);
      return settled;
    }
    const cache = options.writer.freshest(cached);
    if (cache.metadata.deletionTimestamp !== undefined) return await removeObject(options, removal, cache, signal);
    return (await tellUnreadable(options, cache)) ?? (await new Pass(options, cache, signal).run());
  };
}

class Pass {
  readonly #options: BuildCacheReconcilerOptions;
  #cache: BuildCache;
  readonly #signal: AbortSignal;
  readonly #uid: string;
  #seen: CacheObservation | undefined;
  #pressure: string | undefined;
  /** Generations that something has mounted; they go with a later pass. */
  readonly #mounted = new Set<number>();
  /** Something left over is still mounted, or its space is not free yet. */
  #isHeld = false;
  #step = '';

  constructor(options: BuildCacheReconcilerOptions, cache: BuildCache, signal: AbortSignal) {
    this.#options = options;
    this.#cache = cache;
    this.#signal = signal;
    this.#uid = cache.metadata.uid;
  }

  async run(): Promise<Outcome> {
    try {
      const volume = volumeOf(this.#options.volumes, this.#cache);
      const refusal = await this.#options.storage.withTree(volume.metadata.uid, (tree) => this.#advance(tree, volume));
      await this.#write(refusal);
      if (refusal !== undefined) return outcomeOf(refusal);
      const step = this.#step === '' ? undefined : this.#step;
      if (this.#isHeld || this.#mounted.size > 0) return recheck(HELD_MS, step);
      return step === undefined ? settled : settledAfter(step);
    } catch (error) {
      // What the API server refuses is no failure of the cache.
      if (this.#signal.aborted || error instanceof ApiError) throw error;
      const refusal = refusalOf(error, buildCacheReasons);
      await this.#write(refusal);
      if (isRetried(error)) throw error;
      return outcomeOf(refusal);
    }
  }

  /** Steps until there is nothing to do; what is in the way is returned. */
  async #advance(tree: Tree, volume: LoopbackVolume): Promise<Refusal | undefined> {
    for (let step = 0; step < MAX_STEPS; step++) {
      const action = await this.#look(tree);
      if (action.kind === 'refuse') return action.refusal;
      if (action.kind === 'rest') {
        // An adoption that was cut off between the renaming and the sync looks finished, and is not on the disk yet.
        const { spec, status } = this.#cache;
        if (spec.source?.adopt !== undefined && status.currentGeneration === undefined) await tree.sync();
        await this.#tidy(tree);
        return undefined;
      }
      if (volume.metadata.deletionTimestamp !== undefined) {
        const message = 'its volume is being deleted; nothing is made in it any more';
        return { reason: 'VolumeNotReady', message, mendedBy: 'time' };
      }
      // Looked at once more: who had it meanwhile may have changed it.
      await this.#options.locks.alone(
        this.#uid,
        async () => await this.#apply(tree, await this.#look(tree, 'read anew')),
      );
    }
    throw new Error(`${keyOf(this.#cache)} does not come to rest after ${MAX_STEPS} steps`);
  }

  /** The next step; what takes generations away is decided by the cache as the API server has it now, if that is wanted. */
  async #look(tree: Tree, before: 'read anew' | 'as known' = 'as known'): Promise<Action> {
    const seen = await observeCache(tree, this.#uid);
    this.#seen = seen;
    const keptBy = await keptGenerations(this.#options, this.#cache, seen, tree);
    const next = () => {
      const isKept = keptBy(this.#cache);
      return decide(this.#cache, seen, (each) => this.#mounted.has(each.number) || isKept(each));
    };
    const action = next();
    if (before === 'as known' || (action.kind !== 'prune' && action.kind !== 'reset')) return action;
    this.#cache = await readAnew(this.#options, this.#cache);
    return next();
  }

  async #apply(tree: Tree, action: Action): Promise<void> {
    const { metadata, spec } = this.#cache;
    const { uid, namespace = '', name } = metadata;
    switch (action.kind) {
      case 'begin':
        return await beginCache(tree, { uid, namespace, name }, spec.resetToken);
      case 'adopt': {
        const orphanUid = action.uid;
        const { caches } = this.#options;
        await proveOrphan(this.#options, caches, { object: this.#cache, tree, orphanUid, kind: 'BuildCache' });
        await adoptCache(tree, { uid, namespace, name }, orphanUid, spec.resetToken);
        return this.#tell('Adopted', `took over what was in the volume for ${orphanUid}`);
      }
      case 'reset':
        await resetCache(tree, action.record, spec.resetToken);
        return this.#tell('Reset', `claims start from an empty generation, ${action.record.nextGeneration}`);
      case 'make-first': {
        const { record } = action;
        const seed = record.firstGeneration === 1 ? await findSeed(this.#options, this.#cache, tree) : undefined;
        await makeFirstGeneration(tree, record, { owner: spec.owner ?? DEFAULT_OWNER, seed });
        const what = seed === undefined ? 'empty' : `made of Snapshot ${seed.name}`;
        return this.#tell('Created', `generation ${record.firstGeneration}, ${what}`);
      }
      case 'prune': {
        const held = await removeGenerations(tree, uid, action.generations);
        for (const { number } of held) this.#mounted.add(number);
        const gone = action.generations.filter((generation) => !held.includes(generation));
        if (gone.length === 0) return;
        return this.#tell(
          'Pruned',
          `generations ${gone.map(({ number }) => number).join(', ')} removed; the newest ${spec.keepGenerations} are kept`,
        );
      }
      case 'rest':
      case 'refuse':
        return;
      default:
        action satisfies never;
    }
  }

  async #tidy(tree: Tree): Promise<void> {
    const { named } = this.#options;
    const strays = await removeStrays(this.#options, this.#cache, tree);
    this.#isHeld = strays.held.length > 0;
    const before = await named.read(this.#cache);
    const known = await claimsToName(this.#options, this.#cache, { clones: strays.clones, before });
    await named.write(this.#cache, [...strays.held, ...known].slice(0, MAX_LISTED), before);
    if (strays.removed.length > 0) {
      this.#options.onVolumeContent(volumeOf(this.#options.volumes, this.#cache).metadata.uid);
      this.#tell('Cleaned', `removed, as their objects are gone: ${strays.removed.join(', ')}`);
    }
    const { removed, pressure, isPending } = await keepFree(this.#options, this.#cache, tree);
    this.#pressure = pressure;
    this.#isHeld ||= isPending;
    if (removed.length === 0) return;
    this.#seen = await observeCache(tree, this.#uid);
    const numbers = removed.map(({ number }) => number).join(', ');
    this.#tell(
      'Pruned',
      `generations ${numbers} removed to have ${this.#cache.spec.minFreePercent} % of the volume free`,
    );
  }

  #tell(reason: string, text: string): void {
    this.#step = reason;
    this.#options.events.record(this.#cache, 'Normal', reason, 'Reconcile', text);
  }

  async #write(refusal: Refusal | undefined): Promise<void> {
    const { writer, claims, tally, clock, events } = this.#options;
    const cache = writer.freshest(this.#cache);
    const uncounted = tally.of(this.#uid);
    await writer.write(
      cache,
      statusOf({
        cache,
        seen: this.#seen,
        refusal,
        pressure: this.#pressure,
        claims: claimsOf(cache, claims),
        uncounted,
        now: clock.now(),
      }),
    );
    tally.counted(this.#uid, uncounted);
    if (refusal !== undefined) events.record(cache, 'Warning', refusal.reason, 'Reconcile', refusal.message);
    else if (this.#pressure !== undefined) events.record(cache, 'Warning', 'TooLittleFree', 'Prune', this.#pressure);
  }
}
