import { isDeepStrictEqual } from 'node:util';
import type { BuildCache } from '../../api/build-cache.ts';
import { clonesManager } from '../../api/group.ts';
import { isAppliedBy, type Managed } from '../../kube/managed-fields.ts';
import { keyOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';

/**
 * Which claims the API server has been told of, in `status.clones`: a clone whose claim it was told of and does not have any more was
 * lost by force; of any other nobody knows. Only what this agent has written there counts: it has a field manager for that alone, so
 * no other write of the agent makes somebody else's list its own.
 */
export interface NamedClaims {
  /** As the API server has it now; undefined if there is no list, or somebody else's. */
  read(cache: BuildCache): Promise<readonly string[] | undefined>;
  /** The list is these; no request if it was read as such. */
  write(cache: BuildCache, uids: readonly string[], before: readonly string[] | undefined): Promise<void>;
}

export interface NamedClaimsOptions {
  readonly client: Pick<ResourceClient<Managed<BuildCache>>, 'get' | 'applyStatus'>;
  readonly nodeName: string;
}

export function createNamedClaims({ client, nodeName }: NamedClaimsOptions): NamedClaims {
  const manager = clonesManager(nodeName);
  return {
    async read(cache) {
      const there = await client.get(keyOf(cache));
      if (there === undefined || there.object.metadata.uid !== cache.metadata.uid) return undefined;
      const isOurs = isAppliedBy(there.managedFields, { manager, subresource: 'status' }, ['f:status', 'f:clones']);
      return isOurs ? (there.object.status.clones ?? []) : undefined;
    },
    async write({ metadata }, uids, before) {
      const clones = uids.toSorted();
      if (isDeepStrictEqual(before, clones)) return;
      const { name, namespace, uid } = metadata;
      await client.applyStatus({ metadata: { name, namespace, uid }, status: { clones } }, { fieldManager: manager });
    },
  };
}
