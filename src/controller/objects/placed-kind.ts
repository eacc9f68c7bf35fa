import type { PlacedStatus } from '../../api/ownership.ts';
import type { Managed } from '../../kube/managed-fields.ts';
import type { KubeObject } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';

/** An object whose data is on one node. */
export interface PlacedObject extends KubeObject {
  readonly status: PlacedStatus;
}

export type Placement =
  | { readonly kind: 'node'; readonly nodeName: string }
  | { readonly kind: 'none'; readonly reason: string; readonly message: string };

/** What the controller has to know of a kind to place its objects, hold them until their node is done with them, and report lost nodes. */
export interface PlacedKind<T extends PlacedObject> {
  readonly finalizer: string;
  readonly client: ResourceClient<T>;
  /** For a look at who has written what. */
  readonly managed: Pick<ResourceClient<Managed<T>>, 'get'>;
  readonly cached: (key: string) => T | undefined;
  /** Where an object without a node could go now. */
  readonly place: (object: T) => Placement;
  /** This process has placed it and the cache does not show that yet. */
  readonly isAssumed: (key: string) => boolean;
  /** The object is being placed; called before the first await of it. Returns what takes that back. */
  readonly assume: (object: T, nodeName: string) => () => void;
  /** Whether choosing a node is worth an Event: not where it follows from another object. */
  readonly tellsPlacement: boolean;
  /** When an object that was not deleted by anyone is to go; without this, or `undefined`, never. */
  readonly expiresAt?: (object: T) => Date | undefined;
  /** What stays on the disk of a node that is gone for good, for people. */
  readonly leftBehind: (object: T) => string;
}
