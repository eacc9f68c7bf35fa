import { buildCacheRemoval } from '../../src/agent/build-caches/removal.ts';
import { claimRemoval } from '../../src/agent/claims/removal.ts';
import { type Removable, type RemovalKind, removeObject } from '../../src/agent/pass/removal.ts';
import { createSaid } from '../../src/agent/said.ts';
import { snapshotRemoval } from '../../src/agent/snapshots/removal.ts';
import { createStatusWriter } from '../../src/agent/status-writer.ts';
import { volumeRemoval } from '../../src/agent/volumes/removal.ts';
import type { ObjectMeta } from '../../src/kube/object.ts';
import type { ApplyOptions, Draft } from '../../src/kube/resource-client.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { cacheOf, claimOf } from './build-caches.ts';
import { clientWith } from './clients.ts';
import { volumeOf } from './objects.ts';
import { snapshotOf } from './snapshots.ts';

export const NODE = 'node-a';
export const DELETED_AT = '2026-01-01T00:00:00Z';

/** A call of something that reaches the disk, or asks who uses it. */
export type Call = string;

/** Whatever is called of it, at any depth, is noted and fails. */
function noted(name: string, calls: Call[]): never {
  const target = () => undefined;
  return new Proxy(target, {
    get: (_, key) => noted(`${name}.${String(key)}`, calls),
    apply: () => {
      calls.push(name);
      throw new Error(`${name} was called`);
    },
  }) as never;
}

interface Parts {
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec?: Record<string, unknown>;
  readonly status?: Record<string, unknown>;
}

/** Each kind with an object that is being deleted, in a world where whatever reaches the disk is noted and fails. */
export const removableKinds = {
  LoopbackVolume: { of: volumeOf, removal: volumeRemoval },
  Snapshot: { of: snapshotOf, removal: snapshotRemoval },
  BuildCache: { of: cacheOf, removal: buildCacheRemoval },
  BuildCacheClaim: { of: claimOf, removal: claimRemoval },
} as const;
export type RemovableName = keyof typeof removableKinds;
export const removableNames = Object.keys(removableKinds) as RemovableName[];

export function deletedOf(name: RemovableName, { metadata, spec, status }: Parts = {}): Removable {
  const parts = {
    metadata: { deletionTimestamp: DELETED_AT, generation: 2, ...metadata },
    spec,
    status: { nodeName: NODE, ...status },
  };
  // Without what is undefined, as the API server answers.
  return removableKinds[name].of(JSON.parse(JSON.stringify(parts)));
}

/** What the removal of a kind is given, and what it has done. */
export function removalWorld(name: RemovableName, onServer: Removable | undefined | Error) {
  const calls: Call[] = [];
  const writes: { readonly status: Removable['status'] }[] = [];
  const events: string[] = [];
  let version = 100;
  const client = clientWith<Removable>({
    get: async () => {
      if (onServer instanceof Error) throw onServer;
      return onServer;
    },
    list: noted('client.list', calls),
    applyStatus: (async (draft: Draft & { readonly status: Removable['status'] }, _: ApplyOptions) => {
      writes.push(draft);
      return { ...onServer, metadata: { ...draft.metadata, resourceVersion: String(++version) }, status: draft.status };
    }) as never,
  });
  const context = {
    nodeName: NODE,
    client,
    writer: createStatusWriter({
      client,
      fieldManager: 'agent',
      renewal: { isRenewed: true },
      said: createSaid<Removable>(),
    }),
    events: { record: (_: unknown, __: unknown, reason: string) => void events.push(reason) } as never,
    clock: new ManualClock(),
    metrics: { forget: () => undefined },
    storage: noted('storage', calls),
    podsUsing: noted('podsUsing', calls),
    dependentsIn: noted('dependentsIn', calls),
    locks: noted('locks', calls),
    snapshots: noted('snapshots', calls),
    volumes: noted('volumes', calls),
    caches: noted('caches', calls),
    volumeClient: noted('volumeClient', calls),
    cacheClient: noted('cacheClient', calls),
    claims: noted('claims', calls),
    named: noted('named', calls),
  };
  return {
    calls,
    writes,
    events,
    /** The removal of the kind itself. */
    ofKind: () =>
      removeObject(context as never, removableKinds[name].removal(context as never) as never, cachedOf(name), signal),
    /** The removal of all kinds with the parts of one that is made up. */
    withKind: (kind: Partial<RemovalKind<Removable>>, cached = cachedOf(name)) =>
      removeObject(
        context,
        { ...(removableKinds[name].removal(context as never) as never as RemovalKind<Removable>), ...kind },
        cached,
        signal,
      ),
  };
}

const { signal } = new AbortController();
/** What the agent's own cache has: nothing destructive follows from it. */
const cachedOf = (name: RemovableName) => deletedOf(name, { metadata: { resourceVersion: '1' } });
