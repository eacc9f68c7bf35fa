import type { Logger } from 'pino';
import { type Clock, systemClock } from './clock.ts';
import { isAlreadyExists, isConflict } from './errors.ts';
import { createLeaseObserver, LEASE_CALL, type LeaseObserver } from './lease.ts';
import { formatMicroTime } from './object.ts';
import { createResourceClient, type ResourceClient } from './resource-client.ts';
import { type Lease, type LeaseSpec, leaseType } from './resource-types.ts';
import type { Transport } from './transport.ts';

export interface LeaderElectionTimings {
  /** How long others wait after the last renewal they saw before they take over: 15 s. */
  readonly leaseDurationMs: number;
  /**
   * Without a renewal for so long the leader gives up; less than the lease's duration by the time its work needs to
   * stop: 10 s.
   */
  readonly renewDeadlineMs: number;
  /** Between two tries: 2 s, up to a fifth more. */
  readonly retryPeriodMs: number;
}

const DEFAULT_TIMINGS: LeaderElectionTimings = {
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2_000,
};

export interface LeaderElectionOptions {
  readonly transport: Transport;
  /** Namespace and name of the Lease. */
  readonly namespace: string;
  readonly name: string;
  /** Differs between all processes that ever run: pod name and a random part. */
  readonly identity: string;
  readonly clock?: Clock;
  readonly log: Logger;
  /**
   * Ends the candidacy; a leader stops its work, goes on renewing until that has ended, and then releases the Lease.
   */
  readonly signal: AbortSignal;
  /**
   * The leader's work, until its signal aborts. If it ends before, the Lease is released; what it throws is thrown on.
   */
  readonly onStartedLeading: (signal: AbortSignal) => Promise<void>;
  readonly timings?: Partial<LeaderElectionTimings>;
}

/**
 * Waits to become leader, leads, and returns: `stopped` after the signal or the end of the work, with the Lease
 * released; `lost` when the Lease is another's or couldn't be renewed in time (a stalled event loop counts). On `lost`
 * the work's signal is aborted but the work may still be running: the process has to exit.
 */
export async function runLeaderElection(options: LeaderElectionOptions): Promise<'stopped' | 'lost'> {
  const elector = new Elector(options);
  if (!(await elector.acquire())) return 'stopped';
  return await elector.lead();
}

class Elector {
  readonly #options: LeaderElectionOptions;
  readonly #timings: LeaderElectionTimings;
  readonly #clock: Clock;
  readonly #leases: ResourceClient<Lease>;
  readonly #observer: LeaseObserver;
  readonly #key: string;
  /** The Lease as we last wrote it; undefined: read it first. */
  #written: Lease | undefined;
  /** When the request of the last successful renewal was sent: others count from later than this. */
  #renewedAtMs = 0;
  #isFailing = false;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#timings = { ...DEFAULT_TIMINGS, ...options.timings };
    this.#clock = options.clock ?? systemClock;
    this.#leases = createResourceClient(options.transport, leaseType);
    this.#observer = createLeaseObserver({
      clock: this.#clock,
      durationSeconds: this.#timings.leaseDurationMs / 1000,
    });
    this.#key = `${options.namespace}/${options.name}`;
  }

  /** True once the Lease is ours; false if the signal aborted first. */
  async acquire(): Promise<boolean> {
    const { signal, log } = this.#options;
    while (!signal.aborted) {
      try {
        // Without time left the answer came too late to lead on: write again.
        if ((await this.#tryWrite(signal, this.#timings.renewDeadlineMs / 2)) && this.#remainingMs() > 0) return true;
      } catch (error) {
        if (!signal.aborted) log.warn({ lease: this.#key, err: error }, 'leader lease not acquired');
      }
      await this.#pause(signal);
    }
    // A write that was sent when the signal came may have succeeded.
    await this.#release();
    return false;
  }

  async lead(): Promise<'stopped' | 'lost'> {
    const { onStartedLeading, log, signal } = this.#options;
    log.info({ lease: this.#key, identity: this.#options.identity }, 'leader lease acquired');
    const leading = new AbortController();
    const workEnded = new AbortController();
    const stop = () => leading.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const work = (async () => await onStartedLeading(leading.signal))().finally(() => workEnded.abort());
    // Awaited below, unless leadership is lost first.
    work.catch(() => {});
    const kept = await this.#keepRenewing(workEnded.signal);
    signal.removeEventListener('abort', stop);
    if (!kept) {
      leading.abort(new Error('leadership lost'));
      log.error({ lease: this.#key }, 'leadership lost');
      return 'lost';
    }
    try {
      await work;
    } finally {
      await this.#release();
    }
    return 'stopped';
  }

  /** True if the lease was ours until the signal aborted; false as soon as it isn't, or can't be known to be. */
  async #keepRenewing(ended: AbortSignal): Promise<boolean> {
    for (;;) {
      await this.#pause(ended);
      // Asked before each write: after a stall somebody else may lead already.
      if (this.#remainingMs() <= 0) return false;
      if (ended.aborted) return true;
      const renewed = await this.#renewOnce(ended);
      if (renewed === 'taken' || this.#remainingMs() <= 0) return false;
      if (ended.aborted) return true;
    }
  }

  async #renewOnce(ended: AbortSignal): Promise<'renewed' | 'taken' | 'failed'> {
    try {
      const timeoutMs = Math.min(this.#timings.renewDeadlineMs / 2, this.#remainingMs());
      if (!(await this.#tryWrite(ended, timeoutMs))) return 'taken';
      // The server is back: what hangs on old connections, or waits, tries again.
      if (this.#isFailing) this.#options.transport.reconnect();
      this.#isFailing = false;
      return 'renewed';
    } catch (error) {
      if (ended.aborted) return 'failed';
      this.#isFailing = true;
      this.#options.log.warn({ lease: this.#key, err: error }, 'leader lease not renewed');
      return 'failed';
    }
  }

  /** True if the Lease is ours from now on; false if it is validly another's. Throws ApiError when that is unknown. */
  async #tryWrite(signal: AbortSignal, timeoutMs: number): Promise<boolean> {
    const startedAtMs = this.#clock.monotonicMs();
    const call = { signal, timeoutMs, ...LEASE_CALL };
    for (let rereads = 0; ; rereads++) {
      const current = this.#written ?? (await this.#leases.get(this.#key, call));
      this.#observer.observe(this.#key, current);
      if (current !== undefined && !this.#mayTake(current)) return false;
      try {
        const draft = this.#draft(current);
        this.#written = await (current === undefined
          ? this.#leases.create(draft, call)
          : this.#leases.update(draft, call));
        this.#renewedAtMs = startedAtMs;
        return true;
      } catch (error) {
        // Whatever it was: what we know is no longer sure, so read before the next write.
        this.#written = undefined;
        if (rereads > 0 || !(isConflict(error) || isAlreadyExists(error))) throw error;
      }
    }
  }

  #mayTake({ spec }: Lease): boolean {
    const holder = spec?.holderIdentity ?? '';
    return holder === '' || holder === this.#options.identity || this.#observer.stateOf(this.#key) === 'expired';
  }

  #draft(current: Lease | undefined) {
    const { namespace, name, identity } = this.#options;
    const now = formatMicroTime(this.#clock.now());
    const previous = current?.spec;
    const isOurs = previous?.holderIdentity === identity;
    const spec: LeaseSpec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.max(1, Math.round(this.#timings.leaseDurationMs / 1000)),
      acquireTime: isOurs ? (previous.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (previous?.leaseTransitions ?? 0) + (isOurs || current === undefined ? 0 : 1),
    };
    return { ...current, metadata: current?.metadata ?? { namespace, name }, spec };
  }

  /** Lets others take over at once. Best effort: they take over anyway when the time is over. */
  async #release(): Promise<void> {
    const { log } = this.#options;
    try {
      // A renewal that was cut off may arrive at the server after the read: once more then.
      if (await this.#writeRelease().catch((error) => this.#retryRelease(error))) {
        log.info({ lease: this.#key }, 'leader lease released');
      }
    } catch (error) {
      log.warn({ lease: this.#key, err: error }, 'leader lease not released');
    }
  }

  async #retryRelease(error: unknown): Promise<boolean> {
    if (!isConflict(error)) throw error;
    this.#written = undefined;
    return await this.#writeRelease();
  }

  /** False if the Lease is not ours. */
  async #writeRelease(): Promise<boolean> {
    const call = { timeoutMs: this.#timings.renewDeadlineMs, ...LEASE_CALL };
    const current = this.#written ?? (await this.#leases.get(this.#key, call));
    if (current?.spec?.holderIdentity !== this.#options.identity) return false;
    const renewTime = formatMicroTime(this.#clock.now());
    const spec = { ...current.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime };
    await this.#leases.update({ ...current, spec }, call);
    return true;
  }

  #remainingMs(): number {
    return this.#renewedAtMs + this.#timings.renewDeadlineMs - this.#clock.monotonicMs();
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const jitteredMs = this.#timings.retryPeriodMs * (1 + Math.random() / 5);
    await this.#clock.sleep(jitteredMs, signal);
  }
}
