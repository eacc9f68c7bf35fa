import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { buildCacheClaimReasons } from '../../api/reasons-build-cache.ts';
import { ApiError } from '../../kube/errors.ts';
import { type Outcome, settled, settledAfter } from '../../runtime/outcome.ts';
import { observeClaim, removeClone } from '../../storage/caches/claim.ts';
import { removeStaging } from '../../storage/staged-subvolume.ts';
import type { Tree } from '../../storage/tree.ts';
import type { ClaimReconcilerOptions } from '../build-caches/options.ts';
import { nameOf } from '../build-caches/status.ts';
import { removeObject } from '../pass/removal.ts';
import { tellUnreadable } from '../pass/unreadable.ts';
import { isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import { ensureClone } from './clone.ts';
import { type Action, decide, isNew, type Refusal } from './decide.ts';
import { type Release, releaseIn } from './judge-release.ts';
import { withClaimTree } from './place.ts';
import { release } from './release.ts';
import { claimRemoval } from './removal.ts';
import { type Report, statusOf } from './status.ts';
import { refuseUsed, tellRelease } from './tell.ts';

/** A BuildCacheClaim on this node follows its object: clone, judge its release, throw the clone away, report. */
export function createClaimReconcile(
  options: ClaimReconcilerOptions,
): (key: string, signal: AbortSignal) => Promise<Outcome> {
  const removal = claimRemoval(options);
  return async (key, signal) => {
    const cached = options.claims.get(key);
    if (cached === undefined || cached.status.nodeName !== options.nodeName) {
      options.writer.forget(key);
      return settled;
    }
    const claim = options.writer.freshest(cached);
    if (claim.metadata.deletionTimestamp !== undefined) return await removeObject(options, removal, claim, signal);
    return (await tellUnreadable(options, claim)) ?? (await new Pass(options, claim, signal).run());
  };
}

class Pass {
  readonly #options: ClaimReconcilerOptions;
  readonly #signal: AbortSignal;
  #claim: BuildCacheClaim;
  #seen: Report['seen'];
  #step = '';
  /** What becomes of the clone: as judged in this pass, or as the record has it. */
  #judged: Release | undefined;

  constructor(options: ClaimReconcilerOptions, claim: BuildCacheClaim, signal: AbortSignal) {
    this.#options = options;
    this.#claim = claim;
    this.#signal = signal;
  }

  async run(): Promise<Outcome> {
    try {
      const refusal = await withClaimTree(this.#options, this.#claim, (tree) => this.#advance(tree));
      await this.#write(refusal);
      if (refusal !== undefined) return outcomeOf(refusal);
      return this.#step === '' ? settled : settledAfter(this.#step);
    } catch (error) {
      // What the API server refuses is no failure of the claim.
      if (this.#signal.aborted || error instanceof ApiError) throw error;
      const refusal = refusalOf(error, buildCacheClaimReasons);
      await this.#write(refusal);
      if (isRetried(error)) throw error;
      return outcomeOf(refusal);
    }
  }

  /** The next step is done; what is in the way is returned. */
  async #advance(tree: Tree): Promise<Refusal | undefined> {
    const action = await this.#look(tree);
    switch (action.kind) {
      case 'rest':
        if (this.#seen?.isStaged === true && (await removeStaging(tree, this.#claim.metadata.uid)) === 'removed') {
          this.#step = 'cleaned';
        }
        return undefined;
      case 'refuse':
        return action.refusal;
      case 'clone':
        await this.#clone(tree);
        return undefined;
      case 'release':
        await this.#release(tree);
        return undefined;
      default:
        return action satisfies never;
    }
  }

  async #look(tree: Tree): Promise<Action> {
    // Who cloned looks at what is there while nobody can change it: looking here too would be the same work twice.
    if (isNew(this.#claim)) return { kind: 'clone' };
    const seen = await observeClaim(tree, this.#claim.metadata.uid);
    this.#seen = { ...seen, tree };
    this.#judged = releaseIn(this.#claim, seen);
    return decide(this.#claim, seen);
  }

  async #clone(tree: Tree): Promise<void> {
    const { clone, record, base } = await ensureClone(this.#options, this.#claim, tree);
    this.#seen = { clone, record, tree };
    if (base === undefined) return;
    this.#step = 'Cloned';
    const text = `cloned from generation ${base.number} (${nameOf(base)})`;
    this.#options.events.record(this.#claim, 'Normal', 'Cloned', 'Clone', text);
  }

  /** The outcome is on disk, and in status, before the clone goes (rule 9). */
  async #release(tree: Tree): Promise<void> {
    this.#judged = await release(this.#options, this.#claim, tree);
    await this.#write(undefined);
    this.#claim = this.#options.writer.freshest(this.#claim);
    await refuseUsed(this.#options, this.#claim, tree);
    await removeClone(tree, this.#claim.metadata.uid);
  }

  async #write(refusal: Refusal | undefined): Promise<void> {
    const { writer, clock, events } = this.#options;
    const claim = writer.freshest(this.#claim);
    const judged = this.#judged;
    await writer.write(claim, statusOf({ claim, seen: this.#seen, refusal, release: judged, now: clock.now() }));
    if (refusal !== undefined) events.record(claim, 'Warning', refusal.reason, 'Reconcile', refusal.message);
    if (judged === undefined || claim.status.outcome === judged.outcome) return;
    this.#step = judged.outcome;
    tellRelease(this.#options, claim, judged);
  }
}
