import { type Condition, findCondition, isNodeLost } from '../../api/conditions.ts';
import { unreadableOf } from '../../api/parse.ts';
import type { KubeObject } from '../../kube/object.ts';
import type { ObjectMetricsSource, ObjectState } from '../../net/object-metrics.ts';

interface Judged extends KubeObject {
  readonly status: { readonly conditions?: readonly Condition[] | undefined };
}

type Stores = { readonly [Name in 'volumes' | 'snapshots' | 'caches' | 'claims' | 'btrfsNodes']: Store };
type Store = { values(): Iterable<Judged> };

/** What the cluster's objects say of themselves, for metrics. */
export function objectStates({ volumes, snapshots, caches, claims, btrfsNodes }: Stores): ObjectMetricsSource {
  const statesOf = function* (...stores: readonly Store[]) {
    for (const store of stores) for (const object of store.values()) yield stateOf(object);
  };
  return {
    objects: () => statesOf(volumes, snapshots, caches, claims, btrfsNodes),
    volumes: () => statesOf(volumes),
    nodes: () => statesOf(btrfsNodes),
  };
}

function stateOf(object: Judged): ObjectState {
  const { kind, metadata, status } = object;
  const { namespace = '', name, deletionTimestamp } = metadata;
  const conditions = (status.conditions ?? []).map(({ type, status, reason }) => ({ type, status, reason }));
  return {
    kind,
    namespace,
    name,
    conditions,
    notReadySince: deletionTimestamp === undefined ? notReadySince(object) : undefined,
    deletingSince: secondsOf(deletionTimestamp),
    isUnreadable: unreadableOf(object) !== undefined,
  };
}

/** One that says nothing yet has not been since it was made. */
function notReadySince({ metadata, status }: Judged): number | undefined {
  const ready = findCondition(status.conditions, 'Ready');
  if (ready?.status === 'True' || isNodeLost(status.conditions)) return undefined;
  return secondsOf(ready?.lastTransitionTime ?? metadata.creationTimestamp);
}

function secondsOf(time: string | undefined): number | undefined {
  const atMs = Date.parse(time ?? '');
  return Number.isNaN(atMs) ? undefined : atMs / 1000;
}
