import type { KubeObject } from './object.ts';
import type { ResourceType } from './resource-type.ts';

/** v1 Namespace. */
export interface Namespace extends KubeObject {
  readonly status?: { readonly phase?: string };
}

/** v1 Node: what placement and cleaning up read of it. */
export interface Node extends KubeObject {
  readonly spec?: {
    readonly unschedulable?: boolean;
    readonly taints?: ReadonlyArray<{ readonly key: string; readonly value?: string; readonly effect: string }>;
  };
  readonly status?: {
    readonly conditions?: ReadonlyArray<{ readonly type: string; readonly status: string }>;
  };
}

/** v1 Container: what it mounts of the volumes of its pod. */
interface Container {
  readonly volumeMounts?: ReadonlyArray<{
    readonly name: string;
    readonly subPath?: string;
    readonly subPathExpr?: string;
  }>;
}

/** v1 Pod: where it runs and what it mounts. */
export interface Pod extends KubeObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly volumes?: ReadonlyArray<{
      readonly name: string;
      readonly hostPath?: { readonly path: string };
      readonly persistentVolumeClaim?: { readonly claimName: string };
    }>;
    readonly containers?: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly ephemeralContainers?: readonly Container[];
  };
  readonly status?: { readonly phase?: string };
}

/** coordination.k8s.io/v1 LeaseSpec; instants are MicroTime text. */
export interface LeaseSpec {
  readonly holderIdentity?: string | undefined;
  readonly leaseDurationSeconds?: number | undefined;
  readonly acquireTime?: string | undefined;
  readonly renewTime?: string | undefined;
  readonly leaseTransitions?: number | undefined;
}

/** coordination.k8s.io/v1 Lease. */
export interface Lease extends KubeObject {
  readonly spec?: LeaseSpec;
}

/** events.k8s.io/v1 Event. */
export interface Event extends KubeObject {
  readonly type?: string;
  readonly reason?: string;
  readonly action?: string;
  readonly note?: string;
  readonly reportingController?: string;
  readonly regarding?: {
    readonly apiVersion?: string;
    readonly kind?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly uid?: string;
  };
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
}

export const namespaceType = coreType<Namespace>('v1', 'Namespace', 'namespaces', false);
export const nodeType = coreType<Node>('v1', 'Node', 'nodes', false);
export const podType = coreType<Pod>('v1', 'Pod', 'pods', true);
export const leaseType = coreType<Lease>('coordination.k8s.io/v1', 'Lease', 'leases', true);
export const eventType = coreType<Event>('events.k8s.io/v1', 'Event', 'events', true);

/** The API server has validated what it serves: only identity is checked, as everything else here is optional. */
export function coreType<T extends KubeObject>(
  apiVersion: string,
  kind: string,
  plural: string,
  namespaced: boolean,
): ResourceType<T> {
  return { apiVersion, kind, plural, namespaced, parse: (raw) => parseIdentified<T>(raw, apiVersion, kind) };
}

function parseIdentified<T extends KubeObject>(raw: unknown, apiVersion: string, kind: string): T {
  const object = raw as Partial<T> | null | undefined;
  if (object?.kind !== kind || object.apiVersion !== apiVersion) {
    throw new Error(`not a ${apiVersion} ${kind}: "${String(object?.apiVersion)} ${String(object?.kind)}"`);
  }
  const metadata = object.metadata;
  for (const field of ['name', 'uid', 'resourceVersion'] as const) {
    if (typeof metadata?.[field] !== 'string') throw new Error(`a ${kind} without metadata.${field}`);
  }
  return object as T;
}
