import { isDeepStrictEqual } from 'node:util';
import type { Condition } from '../api/conditions.ts';
import { isInvalid } from '../kube/errors.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import type { ApplyOptions, Draft, ResourceClient } from '../kube/resource-client.ts';

interface Judged {
  readonly conditions?: readonly Condition[] | undefined;
}

/**
 * Server-side apply of the agent's part of a status. What it says no more goes by that, but for single fields that somebody else has
 * written: the half condition that would be left is none, so the server refuses the whole status, each time. Then what is said no more is
 * taken out first, whoever wrote it.
 */
export async function applyStatus<T extends KubeObject, Status extends Judged>(
  client: Pick<ResourceClient<T>, 'applyStatus' | 'get' | 'patch'>,
  draft: Draft & { readonly status: Status },
  { ownedPart, ...options }: ApplyOptions & { readonly ownedPart: (object: T) => Status },
): Promise<T> {
  try {
    return await client.applyStatus(draft, options);
  } catch (error) {
    if (!isInvalid(error)) throw error;
    const found = await client.get(keyOf(draft), options);
    if (found === undefined || found.metadata.uid !== draft.metadata.uid) throw error;
    const { resourceVersion } = found.metadata;
    const patch = { metadata: { resourceVersion }, status: withoutUnsaid(found, ownedPart(found), draft.status) };
    await client.patch(keyOf(draft), patch, { type: 'merge', subresource: 'status', ...options });
    return await client.applyStatus(draft, options);
  }
}

/** A merge patch that only takes away, so that nothing becomes ours by it. */
function withoutUnsaid<Status extends Judged>(found: KubeObject, ours: Status, said: Status): object {
  const { conditions: ourConditions = [], ...figures } = ours;
  const isUnsaid = (type: string, list: readonly Condition[] = []) => !list.some((each) => each.type === type);
  const { conditions = [] } = (found as { readonly status?: Judged }).status ?? {};
  const kept = conditions.filter(({ type }) => isUnsaid(type, ourConditions) || !isUnsaid(type, said.conditions));
  const unsaid = Object.entries(figures).filter(
    ([field, value]) => !isDeepStrictEqual(value, said[field as keyof Status]),
  );
  return { ...Object.fromEntries(unsaid.map(([field]) => [field, null])), conditions: kept };
}
