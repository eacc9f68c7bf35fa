import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { type BuildCache, buildCacheType } from '../../../src/api/build-cache.ts';
import { type BuildCacheClaim, buildCacheClaimType } from '../../../src/api/build-cache-claim.ts';
import { type Condition, findCondition } from '../../../src/api/conditions.ts';
import { keyOf } from '../../../src/kube/object.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import type { Lab } from '../lab.ts';

/** What tests of BuildCaches do in the place of users and jobs, on top of a lab. */
export function cacheKit({ transport, objects }: Pick<Lab, 'transport' | 'objects'>) {
  const caches = createResourceClient<BuildCache>(transport, buildCacheType);
  const claims = createResourceClient<BuildCacheClaim>(transport, buildCacheClaimType);

  const claimThat = (name: string, is: (claim: BuildCacheClaim) => boolean, timeoutMs = 15_000) =>
    objects.that(buildCacheClaimType, `default/${name}`, is, timeoutMs);
  const cacheThat = (name: string, is: (cache: BuildCache) => boolean, timeoutMs = 15_000) =>
    objects.that(buildCacheType, `default/${name}`, is, timeoutMs);
  const claimReady = (name: string, timeoutMs?: number) =>
    claimThat(name, (claim) => conditionOf(claim, 'Ready')?.status === 'True', timeoutMs);

  return {
    caches,
    claims,
    claimThat,
    cacheThat,
    claimReady,
    cacheReady: (name: string, timeoutMs?: number) =>
      cacheThat(
        name,
        (cache) =>
          cache.status.observedGeneration === cache.metadata.generation &&
          conditionOf(cache, 'Ready')?.status === 'True',
        timeoutMs,
      ),
    createCache: (name: string, volume: string, spec: Record<string, unknown> = {}): Promise<BuildCache> =>
      caches.create({ metadata: { namespace: 'default', name }, spec: { volumeRef: { name: volume }, ...spec } }),
    changeCache: (name: string, spec: Record<string, unknown>): Promise<BuildCache> =>
      caches.patch(`default/${name}`, { spec }, { type: 'merge' }),
    createClaim: (name: string, cache: string, spec: Record<string, unknown> = {}): Promise<BuildCacheClaim> =>
      claims.create({ metadata: { namespace: 'default', name }, spec: { cacheRef: { name: cache }, ...spec } }),
    /** Made, and with its clone. */
    async startJob(name: string, cache: string, spec: Record<string, unknown> = {}): Promise<BuildCacheClaim> {
      await this.createClaim(name, cache, spec);
      return await claimReady(name);
    },
    release: (name: string, release: 'Publish' | 'Discard' = 'Publish'): Promise<BuildCacheClaim> =>
      claims.patch(`default/${name}`, { spec: { release } }, { type: 'merge' }),
    /** Released, and judged. */
    async endJob(name: string, release: 'Publish' | 'Discard' = 'Publish'): Promise<BuildCacheClaim> {
      await this.release(name, release);
      return await claimThat(name, ({ status }) => status.outcome !== undefined);
    },
    async remove(object: BuildCache | BuildCacheClaim): Promise<void> {
      const key = keyOf(object);
      await (object.kind === 'BuildCache' ? caches : claims).delete(key);
      await (object.kind === 'BuildCache' ? objects.gone(buildCacheType, key) : objects.gone(buildCacheClaimType, key));
    },
  };
}

export type CacheKit = ReturnType<typeof cacheKit>;
type CacheObject = BuildCache | BuildCacheClaim;

export function conditionOf({ status }: Pick<CacheObject, 'status'>, type: string): Condition | undefined {
  return findCondition(status.conditions, type);
}

/** The clone's directory on this machine. */
export function cloneOf({ status, metadata }: BuildCacheClaim): string {
  if (status.path === undefined) throw new Error(`claim ${metadata.name} has no clone`);
  return status.path;
}

/** Runs a script as uid and gid 1000, in a directory that such a user may be in but not walk to. */
export function asUser(script: string, dir: string): void {
  const as = 'cd "$1" && exec setpriv --reuid=1000 --regid=1000 --clear-groups sh -c "$2"';
  execFileSync('sh', ['-c', as, 'sh', dir, script], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** The operator's directories in the volume below `mountPath`, and what lies in each, such as `claims/<uid>/rw`. */
export function areaOf(mountPath: string, area: 'caches' | 'claims' | 'staging'): string[] {
  const list = execFileSync('find', [
    path.join(mountPath, area),
    '-mindepth',
    '1',
    '-maxdepth',
    '2',
    '-printf',
    '%P\n',
  ]);
  return list
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .toSorted();
}
