import { type BtrfsNode, MAX_ORPHANS, type Orphan } from '../../api/btrfs-node.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Placement } from '../objects/placed-kind.ts';
import { whyIdle } from './obstacle.ts';

const MAX_NAMED = 5;

/**
 * A volume whose data is on a node goes there, whatever else is free: one that adopts an orphan, and one whose own uid is listed
 * as an orphan (an API server restored from before it was placed). `undefined`: it has no data yet. The agent looks at the
 * record itself; what is said here only spares a person the way.
 */
export function placeWhereItsDataIs(
  volume: LoopbackVolume,
  btrfsNodes: readonly BtrfsNode[],
  isLive: (btrfsNode: BtrfsNode) => boolean,
): Placement | undefined {
  const { adopt } = volume.spec.source ?? {};
  const uid = adopt?.uid ?? volume.metadata.uid;
  const listings = btrfsNodes.flatMap((btrfsNode) =>
    (btrfsNode.status.orphans ?? []).filter((orphan) => orphan.uid === uid).map((orphan) => ({ btrfsNode, orphan })),
  );
  const { nodeName } = volume.spec;
  const wanted = listings.filter(({ btrfsNode }) => nodeName === undefined || btrfsNode.metadata.name === nodeName);
  if (adopt === undefined && wanted.length !== 1) return undefined;
  const names = listings.map(({ btrfsNode }) => btrfsNode.metadata.name).toSorted();
  if (wanted.length > 1) {
    const listed = names.slice(0, MAX_NAMED).join(', ');
    return none(
      'AdoptionRefused',
      `${uid} is on several nodes (${listed}); set spec.nodeName to the one to adopt from`,
    );
  }
  const [found] = wanted;
  if (found === undefined) return whenNotListed(volume, uid, btrfsNodes, names);
  const why = whyNotIts(volume, found.orphan);
  if (why !== undefined) return none('AdoptionRefused', why);
  const { name } = found.btrfsNode.metadata;
  const idle = whyIdle(found.btrfsNode, isLive(found.btrfsNode));
  if (idle === undefined) return { kind: 'node', nodeName: name };
  return none('NoNodeFits', `the data of ${uid} is on ${name}, which ${idle}; bring its agent back`);
}

/** A list that is full may lack it: then the agent of the node that spec names is asked. */
function whenNotListed(
  { spec }: LoopbackVolume,
  uid: string,
  btrfsNodes: readonly BtrfsNode[],
  listedBy: readonly string[],
): Placement | undefined {
  const named = btrfsNodes.find(({ metadata }) => metadata.name === spec.nodeName);
  if ((named?.status.orphans ?? []).length >= MAX_ORPHANS) return undefined;
  const [other] = listedBy;
  const where = spec.nodeName === undefined ? 'no BtrfsNode lists' : `BtrfsNode ${spec.nodeName} does not list`;
  const hint =
    other === undefined
      ? 'see status.orphans of the BtrfsNodes; what is on a node without a live agent shows when that is back'
      : `${other} does; make the volume with that spec.nodeName, or without`;
  return none('OrphanNotFound', `${where} ${uid} as an orphan: ${hint}`);
}

/** Of another namespace nothing is told: whoever asks may be anybody. */
function whyNotIts({ kind, metadata }: LoopbackVolume, orphan: Orphan): string | undefined {
  const what = `the data of ${orphan.uid} is not taken over`;
  if (orphan.name === undefined) return `${what}: no record tells whose it is; its administrator can import the image`;
  if (orphan.namespace !== metadata.namespace) return `${what}: its record names another namespace`;
  if (orphan.kind !== kind) return `${what}: it is a ${orphan.kind}`;
  if (orphan.name !== metadata.name) return `${what}: its record names "${orphan.name}"; give the volume that name`;
  return undefined;
}

function none(reason: string, message: string): Placement {
  return { kind: 'none', reason, message };
}
