import { agentLeaseName } from '../../api/group.ts';
import type { LeaseObserver } from '../../kube/lease.ts';
import type { Lease } from '../../kube/resource-types.ts';

/** `live`: renews its Lease. `unsure`: has no Lease, but not for long. `silent`: has not renewed it, or had none, for a whole duration. */
export type AgentState = 'live' | 'unsure' | 'silent';

export interface LivenessOptions {
  /** Namespace of the agents' Leases. */
  readonly namespace: string;
  readonly observer: LeaseObserver;
  /** The Lease as the cache has it. */
  readonly cached: (key: string) => Lease | undefined;
  /** The Lease as the server has it. */
  readonly read: (key: string, signal: AbortSignal) => Promise<Lease | undefined>;
}

/** Which agents are alive, by their Leases. */
export interface Liveness {
  stateOf(nodeName: string): AgentState;
  /** As {@link stateOf}, with the Lease read from the server: what this process was too slow to see counts. */
  confirm(nodeName: string, signal: AbortSignal): Promise<AgentState>;
  /** Milliseconds until the agent counts as silent if it does nothing; 0 if it does. */
  remainingMs(nodeName: string): number;
  /** The cache of this Lease changed: the node whose agent is in another state by that; `undefined` if none or never asked for. */
  leaseChanged(key: string): string | undefined;
  /** Nobody could be heard for a while: each agent gets its full time anew. */
  restart(): void;
}

export function createLiveness({ namespace, observer, cached, read }: LivenessOptions): Liveness {
  const nodeNames = new Map<string, string>();
  const absent = new Set<string>();
  const keyOfNode = (nodeName: string) => {
    const key = `${namespace}/${agentLeaseName(nodeName)}`;
    nodeNames.set(key, nodeName);
    return key;
  };
  const stateOfKey = (key: string): AgentState => {
    if (observer.stateOf(key) === 'expired') return 'silent';
    return absent.has(key) ? 'unsure' : 'live';
  };
  const judge = (key: string, lease: Lease | undefined): AgentState => {
    observer.observe(key, lease);
    if (lease === undefined) absent.add(key);
    else absent.delete(key);
    return stateOfKey(key);
  };
  return {
    stateOf(nodeName) {
      const key = keyOfNode(nodeName);
      return judge(key, cached(key));
    },
    async confirm(nodeName, signal) {
      const key = keyOfNode(nodeName);
      return judge(key, await read(key, signal));
    },
    remainingMs: (nodeName) => observer.remainingMs(keyOfNode(nodeName)) ?? 0,
    leaseChanged(key) {
      const nodeName = nodeNames.get(key);
      const before = stateOfKey(key);
      return judge(key, cached(key)) === before ? undefined : nodeName;
    },
    restart: () => observer.restart(),
  };
}
