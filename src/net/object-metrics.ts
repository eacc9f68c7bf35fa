import type { Registry } from 'prom-client';
import { addScrapedGauge, type Sample } from './scraped-gauge.ts';

/** What a condition says, as far as it is of use for alerts. */
export interface ConditionState {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
}

/** An object and what is known about it. */
export interface ObjectState {
  readonly kind: string;
  /** Empty for what is not in a namespace. */
  readonly namespace: string;
  readonly name: string;
  readonly conditions: readonly ConditionState[];
  /** Since when it has not been Ready, in seconds since 1970; absent while it is, is being deleted, or its node is lost. */
  readonly notReadySince?: number | undefined;
  /** When its deletion was asked for, likewise. */
  readonly deletingSince?: number | undefined;
  /** Something in spec can't be read by this version. */
  readonly isUnreadable?: boolean;
}

export interface ObjectMetricsSource {
  /** All objects, of whichever kind. */
  readonly objects: () => Iterable<ObjectState>;
  /** Those whose conditions are shown one by one. */
  readonly volumes: () => Iterable<ObjectState>;
  readonly nodes: () => Iterable<ObjectState>;
}

/** Adds the metrics of the cluster's objects: conditions of volumes and nodes, and how many objects of any kind are as they should be. */
export function addObjectMetrics(registry: Registry, source: ObjectMetricsSource): void {
  addScrapedGauge(registry, {
    name: 'btrfs_volume_condition',
    help: 'Always 1; its labels say what a condition of a LoopbackVolume says.',
    labelNames: ['namespace', 'name', 'type', 'status', 'reason'],
    *read() {
      for (const { namespace, name, conditions } of source.volumes()) {
        for (const { type, status, reason } of conditions) yield [{ namespace, name, type, status, reason }, 1];
      }
    },
  });
  addScrapedGauge(registry, {
    name: 'btrfs_node_condition',
    help: 'Always 1; its labels say what a condition of a BtrfsNode says.',
    labelNames: ['node', 'type', 'status', 'reason'],
    *read() {
      for (const { name, conditions } of source.nodes()) {
        for (const { type, status, reason } of conditions) yield [{ node: name, type, status, reason }, 1];
      }
    },
  });
  addCounts(registry, source.objects);
  addOldest(registry, source.objects);
}

function addCounts(registry: Registry, objects: ObjectMetricsSource['objects']): void {
  addScrapedGauge(registry, {
    name: 'btrfs_objects',
    help: 'Objects by what their condition Ready says.',
    labelNames: ['kind', 'namespace', 'ready'],
    read: () => countBy(objects(), (object) => [{ ready: statusOf(object, 'Ready') ?? 'Unknown' }, 1]),
  });
  addScrapedGauge(registry, {
    name: 'btrfs_objects_stalled',
    help: 'Objects that no retry mends: somebody has to change something.',
    labelNames: ['kind', 'namespace'],
    read: () => countBy(objects(), (object) => [{}, statusOf(object, 'Stalled') === 'True' ? 1 : 0]),
  });
  addScrapedGauge(registry, {
    name: 'btrfs_objects_unreadable',
    help: 'Objects with something in spec that this version of the operator cannot read.',
    labelNames: ['kind', 'namespace'],
    read: () => countBy(objects(), ({ isUnreadable }) => [{}, isUnreadable === true ? 1 : 0]),
  });
}

/** The oldest says whether one hangs; how many are under way says nothing of that. */
function addOldest(registry: Registry, objects: ObjectMetricsSource['objects']): void {
  addScrapedGauge(registry, {
    name: 'btrfs_objects_oldest_not_ready_timestamp_seconds',
    help: 'Since when the object has not been Ready that has not been for longest; without those being deleted and on lost nodes.',
    labelNames: ['kind', 'namespace'],
    read: () => oldestBy(objects(), ({ notReadySince }) => notReadySince),
  });
  addScrapedGauge(registry, {
    name: 'btrfs_objects_oldest_deletion_timestamp_seconds',
    help: 'When the deletion was asked for that has lasted longest.',
    labelNames: ['kind', 'namespace'],
    read: () => oldestBy(objects(), ({ deletingSince }) => deletingSince),
  });
}

function oldestBy(
  objects: Iterable<ObjectState>,
  read: (object: ObjectState) => number | undefined,
): Iterable<Sample<'kind' | 'namespace'>> {
  const oldest = new Map<string, Sample<'kind' | 'namespace'>>();
  for (const object of objects) {
    const since = read(object);
    if (since === undefined) continue;
    const { kind, namespace } = object;
    const key = `${kind}/${namespace}`;
    oldest.set(key, [{ kind, namespace }, Math.min(since, oldest.get(key)?.[1] ?? since)]);
  }
  return oldest.values();
}

function statusOf({ conditions }: ObjectState, type: string): string | undefined {
  return conditions.find((condition) => condition.type === type)?.status;
}

/** Adds up what `read` gives, for each kind, namespace and label of its own. */
function countBy<Label extends string>(
  objects: Iterable<ObjectState>,
  read: (object: ObjectState) => Sample<Label>,
): Iterable<Sample<Label | 'kind' | 'namespace'>> {
  const counts = new Map<string, Sample<Label | 'kind' | 'namespace'>>();
  for (const object of objects) {
    const { kind, namespace } = object;
    const [own, value] = read(object);
    const labels = { kind, namespace, ...own } as Record<Label | 'kind' | 'namespace', string>;
    const key = Object.values(labels).join('/');
    counts.set(key, [labels, (counts.get(key)?.[1] ?? 0) + value]);
  }
  return counts.values();
}
