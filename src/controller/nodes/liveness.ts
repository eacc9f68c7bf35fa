import { agentLeaseName } from '../../api/group.ts';
import type { LeaseObserver } from '../../kube/lease.ts';
import type { Lease } from '../../kube/resource-types.ts';
import type { Clock } from '../../runtime/clock.ts';

/** `live`: renews its Lease. `unsure`: has no Lease, but not for long. `silent`: has not renewed it, or had none, for a whole duration. */
export type AgentState = 'live' | 'unsure' | 'silent';

export interface LivenessOptions {
  /** Namespace of the agents' Leases. */
  readonly namespace: string;
  readonly observer: LeaseObserver;
  readonly clock: Clock;
  /** The Lease as the cache has it. */
  readonly cached: (key: string) => Lease | undefined;
  /** The Lease as the server has it. */
  readonly read: (key: string, signal: AbortSignal) => Promise<Lease | undefined>;
}

/** Which agents are alive, by their Leases. */
export interface Liveness {
  /** The Lease of the agent as the cache has it. */
  leaseOf(nodeName: string): Lease | undefined;
  stateOf(nodeName: string): AgentState;
  /**
   * As {@link stateOf}, but `silent` only if two looks at the server, a third of the Lease's duration apart, say so: when the
   * server was out of reach no agent could renew, and after the first look each has had the time to.
   */
  confirm(nodeName: string, signal: AbortSignal): Promise<AgentState>;
  /** Milliseconds until the agent counts as silent, or a second look may say so, if it does nothing; 0 if that is over. */
  remainingMs(nodeName: string): number;
  /** That the node is lost was said of the object with this uid since the Lease was last renewed. Once is enough. */
  isTold(nodeName: string, uid: string): boolean;
  noteTold(nodeName: string, uid: string): void;
  /** The cache of this Lease changed: the node whose agent is in another state by that; `undefined` if none or never asked for. */
  leaseChanged(key: string): string | undefined;
}

const DEFAULT_DURATION_S = 40;

export function createLiveness(options: LivenessOptions): Liveness {
  return new LeaseLiveness(options);
}

class LeaseLiveness implements Liveness {
  readonly #options: LivenessOptions;
  readonly #nodeNames = new Map<string, string>();
  readonly #absent = new Set<string>();
  /** When a second look at a Lease that was found expired decides. */
  readonly #secondLookMs = new Map<string, number>();

  /** Uids of the objects that were told that a node is lost, by its Lease. */
  readonly #told = new Map<string, Set<string>>();

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  leaseOf(nodeName: string): Lease | undefined {
    return this.#options.cached(this.#keyOf(nodeName));
  }

  stateOf(nodeName: string): AgentState {
    const key = this.#keyOf(nodeName);
    return this.#judge(key, this.#options.cached(key));
  }

  async confirm(nodeName: string, signal: AbortSignal): Promise<AgentState> {
    const key = this.#keyOf(nodeName);
    const lease = await this.#options.read(key, signal);
    const state = this.#judge(key, lease);
    if (state !== 'silent') return state;
    const nowMs = this.#options.clock.monotonicMs();
    const durationMs = (lease?.spec?.leaseDurationSeconds ?? DEFAULT_DURATION_S) * 1000;
    const secondLookMs = this.#secondLookMs.get(key) ?? nowMs + durationMs / 3;
    this.#secondLookMs.set(key, secondLookMs);
    return nowMs >= secondLookMs ? 'silent' : 'unsure';
  }

  remainingMs(nodeName: string): number {
    const key = this.#keyOf(nodeName);
    const remainingMs = this.#options.observer.remainingMs(key) ?? 0;
    if (remainingMs > 0) return remainingMs;
    return Math.max(0, (this.#secondLookMs.get(key) ?? 0) - this.#options.clock.monotonicMs());
  }

  isTold(nodeName: string, uid: string): boolean {
    return this.#told.get(this.#keyOf(nodeName))?.has(uid) === true;
  }

  noteTold(nodeName: string, uid: string): void {
    const key = this.#keyOf(nodeName);
    this.#told.set(key, (this.#told.get(key) ?? new Set()).add(uid));
  }

  leaseChanged(key: string): string | undefined {
    const nodeName = this.#nodeNames.get(key);
    const before = this.#state(key);
    return this.#judge(key, this.#options.cached(key)) === before ? undefined : nodeName;
  }

  #keyOf(nodeName: string): string {
    const key = `${this.#options.namespace}/${agentLeaseName(nodeName)}`;
    this.#nodeNames.set(key, nodeName);
    return key;
  }

  #judge(key: string, lease: Lease | undefined): AgentState {
    this.#options.observer.observe(key, lease);
    if (lease === undefined) this.#absent.add(key);
    else this.#absent.delete(key);
    const state = this.#state(key);
    if (state !== 'silent') {
      this.#secondLookMs.delete(key);
      this.#told.delete(key);
    }
    return state;
  }

  #state(key: string): AgentState {
    if (this.#options.observer.stateOf(key) === 'expired') return 'silent';
    return this.#absent.has(key) ? 'unsure' : 'live';
  }
}
