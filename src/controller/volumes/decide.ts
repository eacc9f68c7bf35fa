import { findCondition } from '../../api/conditions.ts';
import { VOLUME_FINALIZER } from '../../api/group.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { NodeState } from '../nodes/node-state.ts';
import type { Placement } from './placement.ts';

/** All that a decision about a volume rests on. */
export interface VolumeWorld {
  readonly volume: LoopbackVolume;
  /** Of the node in status.nodeName; `undefined` without one. */
  readonly nodeState: NodeState | undefined;
  /** This process has placed it and the cache does not show that yet. */
  readonly isAssumed: boolean;
  /** Where it could go now; asked only of a volume that is to be placed. */
  readonly placement: () => Placement;
}

export type VolumeDecision =
  | { readonly kind: 'none' }
  | { readonly kind: 'add-finalizer' }
  | { readonly kind: 'remove-finalizer' }
  /** The node will never remove what is on its disk: the object goes, the data stays. */
  | { readonly kind: 'abandon'; readonly nodeName: string }
  | { readonly kind: 'place'; readonly nodeName: string }
  | { readonly kind: 'refuse'; readonly reason: 'NoNodeFits' | 'UnknownNode'; readonly message: string }
  /** Placed, but condition Scheduled does not say so for this generation. */
  | { readonly kind: 'confirm-placement'; readonly nodeName: string }
  | { readonly kind: 'mark-lost'; readonly nodeName: string };

const none: VolumeDecision = { kind: 'none' };

/** What the controller does about a volume now. */
export function decideVolume(world: VolumeWorld): VolumeDecision {
  const { metadata, status } = world.volume;
  const isHeld = metadata.finalizers?.includes(VOLUME_FINALIZER) === true;
  if (metadata.deletionTimestamp !== undefined) return isHeld ? decideDeletion(world) : none;
  if (!isHeld) return { kind: 'add-finalizer' };
  if (status.nodeName === undefined) return world.isAssumed ? none : decideUnplaced(world);
  return decidePlaced(world, status.nodeName);
}

function decideDeletion(world: VolumeWorld): VolumeDecision {
  const { nodeName } = world.volume.status;
  if (nodeName === undefined) {
    // A placement under way may reach the agent yet; the cache shows it soon.
    return world.isAssumed ? none : { kind: 'remove-finalizer' };
  }
  if (saysRemoved(world.volume)) return { kind: 'remove-finalizer' };
  if (world.nodeState === 'gone') return { kind: 'abandon', nodeName };
  if (world.nodeState === 'lost' && !saysLost(world.volume)) return { kind: 'mark-lost', nodeName };
  return none;
}

function decideUnplaced(world: VolumeWorld): VolumeDecision {
  const placement = world.placement();
  if (placement.kind === 'node') return { kind: 'place', nodeName: placement.nodeName };
  return { kind: 'refuse', reason: placement.reason, message: placement.message };
}

function decidePlaced(world: VolumeWorld, nodeName: string): VolumeDecision {
  const isLost = world.nodeState === 'lost' || world.nodeState === 'gone';
  if (isLost && !saysLost(world.volume)) return { kind: 'mark-lost', nodeName };
  const { metadata, status } = world.volume;
  const scheduled = findCondition(status.conditions, 'Scheduled');
  const isConfirmed = scheduled?.status === 'True' && scheduled.observedGeneration === metadata.generation;
  return isConfirmed ? none : { kind: 'confirm-placement', nodeName };
}

/** The agent has said so after it saw the deletion, which is a generation of its own: earlier words are about an earlier life. */
function saysRemoved({ metadata, status }: LoopbackVolume): boolean {
  const removed = findCondition(status.conditions, 'Removed');
  return removed?.status === 'True' && (removed.observedGeneration ?? 0) >= (metadata.generation ?? 0);
}

/** Ready says that the node is lost. */
export function saysLost({ status }: LoopbackVolume): boolean {
  const ready = findCondition(status.conditions, 'Ready');
  return ready?.status === 'Unknown' && ready.reason === 'NodeLost';
}
