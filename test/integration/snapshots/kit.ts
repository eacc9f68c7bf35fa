import { existsSync } from 'node:fs';
import { findCondition } from '../../../src/api/conditions.ts';
import { type Snapshot, snapshotType } from '../../../src/api/snapshot.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import type { Lab } from '../lab.ts';

/** What tests of Snapshots do in the place of users, on top of a lab. */
export function snapshotKit({ transport, objects }: Lab) {
  const client = createResourceClient<Snapshot>(transport, snapshotType);
  const that = (name: string, is: (snapshot: Snapshot) => boolean, timeoutMs = 15_000): Promise<Snapshot> =>
    objects.that(snapshotType, `default/${name}`, is, timeoutMs);
  const gone = (name: string, timeoutMs = 15_000): Promise<void> =>
    objects.gone(snapshotType, `default/${name}`, timeoutMs);
  return {
    client,
    that,
    create: (name: string, volume: string, spec: Record<string, unknown> = {}): Promise<Snapshot> =>
      client.create({ metadata: { namespace: 'default', name }, spec: { volumeRef: { name: volume }, ...spec } }),
    change: (name: string, spec: Record<string, unknown>): Promise<Snapshot> =>
      client.patch(`default/${name}`, { spec }, { type: 'merge' }),
    /** As soon as it is Ready for its last generation. */
    ready: (name: string, timeoutMs?: number) =>
      that(
        name,
        ({ status, metadata }) =>
          status.observedGeneration === metadata.generation && conditionOf({ status }, 'Ready')?.status === 'True',
        timeoutMs,
      ),
    withReason: (name: string, type: string, reason: string, timeoutMs?: number) =>
      that(name, (snapshot) => conditionOf(snapshot, type)?.reason === reason, timeoutMs),
    gone,
    async remove(name: string, timeoutMs?: number): Promise<void> {
      await client.delete(`default/${name}`);
      await gone(name, timeoutMs);
    },
  };
}

export type SnapshotKit = ReturnType<typeof snapshotKit>;

export function conditionOf({ status }: Pick<Snapshot, 'status'>, type: string) {
  return findCondition(status.conditions, type);
}

/** Its directory on this machine. */
export function pathOf({ status, metadata }: Snapshot): string {
  if (status.path === undefined || !existsSync(status.path))
    throw new Error(`Snapshot ${metadata.name} has no directory`);
  return status.path;
}
