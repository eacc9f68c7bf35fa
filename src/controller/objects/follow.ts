import type { KubeObject } from '../../kube/object.ts';
import type { Cluster } from '../cluster.ts';
import type { PlacedObject, Placement } from './placed-kind.ts';

/** What another object needs, and is on the node of. */
export interface Followed {
  readonly kind: string;
  readonly name: string;
  /** Where the follower names it. */
  readonly field: string;
  /** `undefined` if there is none of the name. */
  readonly object: PlacedObject | undefined;
  /** What it means that it is being deleted, as it reads after that. */
  readonly whenDeleted: string;
  readonly reasons: { readonly notFound: string; readonly notPlaced: string };
}

/** An object goes where the one that it needs is. */
export function follow(follower: KubeObject, { kind, name, field, object, whenDeleted, reasons }: Followed): Placement {
  const what = `${kind} "${name}"`;
  const none = (reason: string, message: string): Placement => ({ kind: 'none', reason, message });
  if (object === undefined) {
    const { namespace } = follower.metadata;
    const advice = `make it, or make the ${follower.kind} anew with another ${field}`;
    return none(reasons.notFound, `there is no ${what} in namespace ${namespace}; ${advice}`);
  }
  if (object.metadata.deletionTimestamp !== undefined) {
    return none(reasons.notFound, `${what} is being deleted; ${whenDeleted}`);
  }
  const { nodeName } = object.status;
  if (nodeName !== undefined) return { kind: 'node', nodeName };
  return none(reasons.notPlaced, `${what} has no node yet; see its condition Scheduled`);
}

/** An object of spec.volumeRef goes where that volume is. */
export function followVolume(
  cluster: Pick<Cluster, 'volumes'>,
  follower: KubeObject & { readonly spec: { readonly volumeRef: { readonly name: string } } },
): Placement {
  const { name } = follower.spec.volumeRef;
  return follow(follower, {
    kind: 'LoopbackVolume',
    name,
    field: 'spec.volumeRef',
    object: cluster.volumes.get(`${follower.metadata.namespace}/${name}`),
    whenDeleted: 'nothing is made in it any more',
    reasons: { notFound: 'VolumeNotFound', notPlaced: 'VolumeNotPlaced' },
  });
}

/** Of kinds that follow: their place takes nothing from others, so a second decision is the same one, and is no news. */
export const follows = { isAssumed: () => false, assume: () => () => undefined, tellsPlacement: false } as const;
