import { isNodeLost, isTrue } from '../../api/conditions.ts';
import type { NodeState } from '../nodes/node-state.ts';
import type { PlacedObject, Placement } from './placed-kind.ts';
import { placedOn, saysScheduled } from './status.ts';

/** All that a decision about an object rests on. */
export interface World {
  readonly object: PlacedObject;
  /** Holds objects of this kind until their node is done with them. */
  readonly finalizer: string;
  /** Of the node in status.nodeName; `undefined` without one. */
  readonly nodeState: NodeState | undefined;
  /** It was told that its node is lost since the agent was last heard. An agent that writes over that is not answered. */
  readonly isToldLost: boolean;
  /** This process has placed it and the cache does not show that yet. */
  readonly isAssumed: boolean;
  /** Milliseconds until it is to go by itself, 0 or less if that is over; `undefined`: never. */
  readonly expiresInMs: number | undefined;
  /** Where it could go now; asked only of an object that is to be placed. */
  readonly placement: () => Placement;
}

export type Decision =
  | { readonly kind: 'none' }
  | { readonly kind: 'add-finalizer' }
  | { readonly kind: 'remove-finalizer' }
  /** Its status says that nothing is left on its node: the finalizer goes if the agent of that has said so. */
  | { readonly kind: 'confirm-removal' }
  /** The node will never remove what is on its disk: the object goes, the data stays. */
  | { readonly kind: 'abandon'; readonly nodeName: string }
  | { readonly kind: 'place'; readonly nodeName: string }
  | { readonly kind: 'refuse'; readonly reason: string; readonly message: string }
  /** Placed, but condition Scheduled does not say just this, for this generation. */
  | { readonly kind: 'confirm-placement'; readonly nodeName: string }
  | { readonly kind: 'mark-lost'; readonly nodeName: string }
  /** Its time is over. */
  | { readonly kind: 'expire' }
  /** Nothing, but its time will be over. */
  | { readonly kind: 'await-expiry'; readonly afterMs: number };

const none: Decision = { kind: 'none' };

/** What the controller does about an object now. */
export function decideObject(world: World): Decision {
  const { metadata, status } = world.object;
  const isHeld = metadata.finalizers?.includes(world.finalizer) === true;
  if (metadata.deletionTimestamp !== undefined) return isHeld ? decideDeletion(world) : none;
  if (!isHeld) return { kind: 'add-finalizer' };
  if (status.nodeName === undefined) return world.isAssumed ? none : decideUnplaced(world);
  return decidePlaced(world, status.nodeName);
}

function decideDeletion(world: World): Decision {
  const { nodeName } = world.object.status;
  if (nodeName === undefined) {
    // A placement under way may reach the agent yet; the cache shows it soon.
    return world.isAssumed ? none : { kind: 'remove-finalizer' };
  }
  if (isTrue(world.object.status.conditions, 'Removed')) return { kind: 'confirm-removal' };
  if (world.nodeState === 'gone') return { kind: 'abandon', nodeName };
  if (world.nodeState === 'lost' && !isTold(world)) return { kind: 'mark-lost', nodeName };
  return none;
}

function decideUnplaced(world: World): Decision {
  const placement = world.placement();
  if (placement.kind === 'node') return { kind: 'place', nodeName: placement.nodeName };
  return { kind: 'refuse', reason: placement.reason, message: placement.message };
}

function decidePlaced(world: World, nodeName: string): Decision {
  const isLost = world.nodeState === 'lost' || world.nodeState === 'gone';
  if (isLost && !isTold(world)) return { kind: 'mark-lost', nodeName };
  const { expiresInMs } = world;
  if (expiresInMs !== undefined && expiresInMs <= 0) return { kind: 'expire' };
  if (!saysScheduled(world.object, placedOn(nodeName))) return { kind: 'confirm-placement', nodeName };
  return expiresInMs === undefined ? none : { kind: 'await-expiry', afterMs: expiresInMs };
}

function isTold({ object, isToldLost }: World): boolean {
  return isToldLost || saysLost(object);
}

/** Ready says that the node is lost. */
export function saysLost({ status }: PlacedObject): boolean {
  return isNodeLost(status.conditions);
}
