import { formatBytes } from '../../api/quantity.ts';
import type { Placement } from '../objects/placed-kind.ts';

/** What placement knows of a node that has an agent. */
export interface NodeOffer {
  readonly name: string;
  /** Why nothing can be placed there now, as it reads after the node's name; `undefined` if something can. */
  readonly obstacle: string | undefined;
  /** Why it is for those only who name it, likewise. */
  readonly reservation: string | undefined;
  /** Labels of the Node; `undefined` if there is no Node of the name. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly allocatableBytes: number;
  /** Sum of the volumes there, and of what is exported. */
  readonly committedBytes: number;
}

export interface PlacementRequest {
  readonly sizeBytes: number;
  readonly nodeName: string | undefined;
  readonly nodeSelector: Readonly<Record<string, string>> | undefined;
}

// A message is for a person, and an object's status has a limit.
const MAX_NAMED_NODES = 5;

/** The node with the most free capacity among those that can take the volume, the first by name of equals. */
export function decidePlacement(request: PlacementRequest, offers: readonly NodeOffer[]): Placement {
  const byName = offers.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  if (request.nodeName !== undefined) return decideOnNamedNode(request.nodeName, request, byName);
  const fitting = byName.filter((offer) => whyNot(request, offer) === undefined);
  const best = fitting.reduce<NodeOffer | undefined>(
    (most, offer) => (most === undefined || leftBytes(offer) > leftBytes(most) ? offer : most),
    undefined,
  );
  if (best !== undefined) return { kind: 'node', nodeName: best.name };
  return { kind: 'none', reason: 'NoNodeFits', message: noNodeMessage(request, byName) };
}

function decideOnNamedNode(nodeName: string, request: PlacementRequest, offers: readonly NodeOffer[]): Placement {
  const offer = offers.find(({ name }) => name === nodeName);
  if (offer === undefined)
    return { kind: 'none', reason: 'UnknownNode', message: unknownNodeMessage(nodeName, offers) };
  const why = whyNot(request, offer);
  if (why === undefined) return { kind: 'node', nodeName };
  return {
    kind: 'none',
    reason: 'NoNodeFits',
    message: `${formatBytes(request.sizeBytes)} can't go to spec.nodeName: ${nodeName} ${why}`,
  };
}

/**
 * Why the node can't take the volume, as it reads after its name. It has no figures that move: each volume that waits would be
 * written anew with every volume that comes or goes.
 */
function whyNot(request: PlacementRequest, offer: NodeOffer): string | undefined {
  if (offer.obstacle !== undefined) return offer.obstacle;
  if (offer.reservation !== undefined && request.nodeName !== offer.name) return offer.reservation;
  const selector = Object.entries(request.nodeSelector ?? {});
  if (selector.some(([label, value]) => offer.labels?.[label] !== value)) {
    const wanted = selector.map(([label, value]) => `${label}=${value}`).toSorted();
    if (offer.labels === undefined) return `has no Node whose labels could match nodeSelector ${wanted}`;
    return `does not match nodeSelector ${wanted}`;
  }
  if (leftBytes(offer) >= request.sizeBytes) return undefined;
  if (offer.allocatableBytes < request.sizeBytes) return 'is smaller than that';
  return 'has less than that left';
}

function leftBytes({ allocatableBytes, committedBytes }: NodeOffer): number {
  return Math.max(0, allocatableBytes - committedBytes);
}

function noNodeMessage(request: PlacementRequest, offers: readonly NodeOffer[]): string {
  const head = `0 of ${offers.length} nodes fit ${formatBytes(request.sizeBytes)}`;
  if (offers.length === 0) return `${head}: there is no BtrfsNode; check that the agents run`;
  const reasons = offers.slice(0, MAX_NAMED_NODES).map((offer) => `${offer.name} ${whyNot(request, offer)}`);
  return `${head}: ${[...reasons, ...andMore(offers)].join('; ')}`;
}

function unknownNodeMessage(nodeName: string, offers: readonly NodeOffer[]): string {
  const known = [...offers.slice(0, MAX_NAMED_NODES).map(({ name }) => name), ...andMore(offers)].join(', ');
  return `there is no BtrfsNode "${nodeName}": check spec.nodeName and that an agent runs on that node; known are: ${known || 'none'}`;
}

function andMore(offers: readonly NodeOffer[]): string[] {
  return offers.length > MAX_NAMED_NODES ? [`and ${offers.length - MAX_NAMED_NODES} more`] : [];
}
