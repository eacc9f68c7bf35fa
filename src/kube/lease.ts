import type { Logger } from 'pino';
import { type Clock, systemClock } from './clock.ts';
import { formatMicroTime, type OwnerReference } from './object.ts';
import { createResourceClient } from './resource-client.ts';
import { type Lease, leaseType } from './resource-types.ts';
import type { Transport } from './transport.ts';

/** A node's lease survives three renewals that fail. */
const DEFAULT_DURATION_S = 40;
const DEFAULT_RENEW_MS = 10_000;
const FIELD_MANAGER = 'btrfs-operator-lease';

/** How Leases are asked for: who renews one must not wait behind others, nor longer than for the next try. */
export const LEASE_CALL = { pool: 'leases', maxRetries: 0 } as const;

export interface LeaseRenewalOptions {
  readonly transport: Transport;
  readonly namespace: string;
  readonly name: string;
  /** Who renews, e.g. the node's name; becomes `holderIdentity`. */
  readonly identity: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Asked with each renewal: an owner that is gone would take the Lease with it. */
  readonly owners?: () => readonly OwnerReference[];
  /** How long others take the holder for alive after they saw the last renewal; 40 s if absent. */
  readonly durationSeconds?: number;
  /** 10,000 if absent. */
  readonly renewEveryMs?: number;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Told when renewing begins to work (`undefined`) or to fail (why), the first time as well. */
  readonly onChange?: (failure: string | undefined) => void;
  /** Ends the renewal. The Lease stays as it is: others judge it when its time is over. */
  readonly signal: AbortSignal;
}

/**
 * Keeps a Lease renewed, creating it if need be, over any error until the signal aborts. The first success after failures tells that
 * the server is back: the transport reconnects. Never throws.
 */
export async function runLeaseRenewal(options: LeaseRenewalOptions): Promise<void> {
  const { transport, log, signal, clock = systemClock, renewEveryMs = DEFAULT_RENEW_MS } = options;
  const leases = createResourceClient(transport, leaseType);
  const acquiredAt = clock.now();
  let state: 'unknown' | 'renewed' | 'failing' = 'unknown';
  while (!signal.aborted) {
    const startedAtMs = clock.monotonicMs();
    try {
      const draft = leaseDraft(options, acquiredAt, clock.now());
      await leases.apply(draft, { fieldManager: FIELD_MANAGER, signal, timeoutMs: renewEveryMs, ...LEASE_CALL });
      if (state === 'failing') {
        log.info({ lease: options.name }, 'lease renewed again');
        transport.reconnect();
      }
      if (state !== 'renewed') options.onChange?.(undefined);
      state = 'renewed';
    } catch (error) {
      if (signal.aborted) return;
      log[state === 'failing' ? 'debug' : 'warn']({ lease: options.name, err: error }, 'lease not renewed');
      if (state !== 'failing') options.onChange?.(error instanceof Error ? error.message : String(error));
      state = 'failing';
    }
    const takenMs = clock.monotonicMs() - startedAtMs;
    await clock.sleep(Math.max(renewEveryMs - takenMs, renewEveryMs / 10), signal);
  }
}

function leaseDraft(options: LeaseRenewalOptions, acquiredAt: Date, renewedAt: Date) {
  const { namespace, name, identity, labels, owners, durationSeconds = DEFAULT_DURATION_S } = options;
  return {
    metadata: { namespace, name, labels, ownerReferences: owners?.() ?? [] },
    spec: {
      holderIdentity: identity,
      leaseDurationSeconds: durationSeconds,
      acquireTime: formatMicroTime(acquiredAt),
      renewTime: formatMicroTime(renewedAt),
    },
  };
}

export type LeaseState = 'unknown' | 'live' | 'expired';

/**
 * Judges Leases by the local monotonic time since their record was last seen to change, never by comparing clocks. So
 * one that just started calls no Lease expired before it has seen it unchanged for its full duration.
 */
export interface LeaseObserver {
  /** Takes note of a Lease as it is now, or that there is none under the key; call with every change seen. */
  observe(key: string, lease: Lease | undefined): void;
  /** `unknown` before the first `observe` of the key. */
  stateOf(key: string): LeaseState;
  /** Milliseconds until the Lease counts as expired if nothing changes, 0 if it does; undefined if unknown. */
  remainingMs(key: string): number | undefined;
  /** Gives every Lease its full duration anew: for after the API server was out of reach, when nobody could renew. */
  restart(): void;
  forget(key: string): void;
}

export interface LeaseObserverOptions {
  readonly clock?: Clock;
  /** Duration of a Lease that is absent or names none; 40 s if absent. */
  readonly durationSeconds?: number;
}

interface Observation {
  readonly record: string;
  readonly durationMs: number;
  readonly sinceMs: number;
}

export function createLeaseObserver(options: LeaseObserverOptions = {}): LeaseObserver {
  const { clock = systemClock, durationSeconds = DEFAULT_DURATION_S } = options;
  const observations = new Map<string, Observation>();
  const remainingMs = (key: string) => {
    const observation = observations.get(key);
    if (observation === undefined) return undefined;
    return Math.max(0, observation.sinceMs + observation.durationMs - clock.monotonicMs());
  };
  return {
    observe(key, lease) {
      const record = JSON.stringify(lease?.spec ?? null);
      if (observations.get(key)?.record === record) return;
      // That an expired Lease is taken away is no sign of life.
      if (lease === undefined && remainingMs(key) === 0) return;
      const durationMs = (lease?.spec?.leaseDurationSeconds ?? durationSeconds) * 1000;
      observations.set(key, { record, durationMs, sinceMs: clock.monotonicMs() });
    },
    stateOf(key) {
      const left = remainingMs(key);
      if (left === undefined) return 'unknown';
      return left > 0 ? 'live' : 'expired';
    },
    remainingMs,
    restart() {
      const sinceMs = clock.monotonicMs();
      for (const [key, observation] of observations) observations.set(key, { ...observation, sinceMs });
    },
    forget: (key) => void observations.delete(key),
  };
}
