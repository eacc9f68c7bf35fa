import { describe, expect, it } from 'vitest';
import { claimsToName } from '../../../src/agent/build-caches/strays.ts';
import type { BuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import { keyOf } from '../../../src/kube/object.ts';
import type { ResourceClient } from '../../../src/kube/resource-client.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';

const clones = ['uid-a', 'uid-b', 'uid-gone'];

/** With claims a and b in the agent's cache, and these at the API server. */
async function named(before: readonly string[], there: readonly BuildCacheClaim[]) {
  const read: string[] = [];
  const claims = ['a', 'b', 'c'].map((name) => claimOf({ metadata: { name } }));
  const stored = new Map(claims.map((claim) => [keyOf(claim), claim]));
  const get = async (key: string) => {
    read.push(key);
    return there.find((claim) => keyOf(claim) === key);
  };
  const options = {
    claims: stored,
    claimClient: { get } as ResourceClient<BuildCacheClaim>,
  };
  // What its status says is not asked: anybody may have written it.
  const cache = cacheOf({ status: { clones } });
  return { uids: await claimsToName(options, cache, { clones, before }), read };
}

describe('claimsToName: what goes with its claim from now on', () => {
  const [a, b] = [claimOf({ metadata: { name: 'a' } }), claimOf({ metadata: { name: 'b' } })];
  it.each([
    ['a claim that the API server has', [], [a, b], ['uid-a', 'uid-b'], ['ns/a', 'ns/b']],
    ['not one that it does not know', [], [b], ['uid-b'], ['ns/a', 'ns/b']],
    ['not one that was made anew', ['uid-b'], [claimOf({ metadata: { name: 'a', uid: 'new' } })], ['uid-b'], ['ns/a']],
    ['those that are named are not read again', ['uid-a', 'uid-b'], [], ['uid-a', 'uid-b'], []],
  ])('C9 claimsToName: %s', async (_, before, there, uids, read) => {
    expect(await named(before, there)).toEqual({ uids, read });
  });
});
