import { type BuildCache, buildCacheType } from '../../src/api/build-cache.ts';
import { type BuildCacheClaim, buildCacheClaimType } from '../../src/api/build-cache-claim.ts';
import { type Condition, findCondition } from '../../src/api/conditions.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../../src/api/loopback-volume.ts';
import { type Snapshot, snapshotType } from '../../src/api/snapshot.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { startReflector } from '../../src/kube/reflector.ts';
import { createResourceClient } from '../../src/kube/resource-client.ts';
import type { ResourceType } from '../../src/kube/resource-type.ts';
import type { Transport } from '../../src/kube/transport.ts';
import { createLogger } from '../../src/log.ts';

interface Watched extends KubeObject {
  readonly status: { readonly observedGeneration?: number | undefined; readonly conditions?: Condition[] | undefined };
}

/** A user with kubectl in hand: writes specs of a kind, and watches until they have come true. */
function createUser<T extends Watched>(transport: Transport, type: ResourceType<T>) {
  const client = createResourceClient<T>(transport, type);
  const waiting = new Map<string, () => void>();
  const reflector = startReflector<T>({
    transport,
    type,
    log: createLogger({ logLevel: 'error' }),
    onChange: ({ object }) => waiting.get(object.metadata.name)?.(),
  });
  const until = (name: string, is: (object: T | undefined) => boolean) =>
    new Promise<T | undefined>((resolve) => {
      const check = () => {
        const object = reflector.get(`default/${name}`);
        if (!is(object)) return;
        waiting.delete(name);
        resolve(object);
      };
      waiting.set(name, check);
      check();
    });
  return {
    synced: () => reflector.synced(),
    stop: () => reflector.stop(),
    async create(name: string, spec: Record<string, unknown>) {
      await client.create({ metadata: { namespace: 'default', name }, spec });
      return await until(name, (object) => isTrue(object, 'Ready'));
    },
    /** Until `condition` is True for the changed spec. */
    async change(name: string, spec: Record<string, unknown>, condition: string) {
      const { metadata } = await client.patch(`default/${name}`, { spec }, { type: 'merge' });
      await until(
        name,
        (object) => object?.status.observedGeneration === metadata.generation && isTrue(object, condition),
      );
    },
    async remove(name: string) {
      await client.delete(`default/${name}`);
      await until(name, (object) => object === undefined);
    },
  };
}

export type User<T extends Watched> = ReturnType<typeof createUser<T>>;

export interface Users {
  readonly volumes: User<LoopbackVolume>;
  readonly snapshots: User<Snapshot>;
  readonly caches: User<BuildCache>;
  readonly claims: User<BuildCacheClaim>;
}

export async function createUsers(transport: Transport): Promise<Users> {
  const users: Users = {
    volumes: createUser<LoopbackVolume>(transport, loopbackVolumeType),
    snapshots: createUser<Snapshot>(transport, snapshotType),
    caches: createUser<BuildCache>(transport, buildCacheType),
    claims: createUser<BuildCacheClaim>(transport, buildCacheClaimType),
  };
  await Promise.all(Object.values(users).map((user) => user.synced()));
  return users;
}

function isTrue(object: Watched | undefined, type: string): boolean {
  return findCondition(object?.status.conditions, type)?.status === 'True';
}
