/** What has to be known of a subvolume to tell whether two filesystems have it in common. */
export interface StreamPoint {
  readonly uuid: string;
  readonly receivedUUID?: string | undefined;
}

export interface SourcePoint extends StreamPoint {
  readonly id: number;
  readonly parentUUID?: string | undefined;
}

/** What a stream of this subvolume is known by where it was received: the uuid of the first one in a row of transfers. */
export function streamUUID({ uuid, receivedUUID }: StreamPoint): string {
  return receivedUUID ?? uuid;
}

/**
 * The one of the candidates, read-only subvolumes, nearest to `source` in descent that the receiver has as well, of equals the newest;
 * undefined if they have none in common that is related. Chosen by uuid and received UUID, never by name (rule 7). `lineage` are
 * pairs of uuids that descend from each other through a subvolume that is gone: committing removes the one in between.
 */
export function findCommonAncestor<T extends SourcePoint>(
  source: SourcePoint,
  candidates: Iterable<T>,
  receiver: Iterable<StreamPoint>,
  lineage: Iterable<readonly [string, string]> = [],
): T | undefined {
  const known = new Set([...receiver].flatMap(({ uuid, receivedUUID }) => [uuid, receivedUUID]));
  const all = [...candidates];
  const distances = distancesFrom(source, all, lineage);
  return all
    .filter(({ uuid }) => uuid !== source.uuid)
    .filter((candidate) => known.has(streamUUID(candidate)) && distances.has(candidate.uuid))
    .toSorted((a, b) => (distances.get(a.uuid) ?? 0) - (distances.get(b.uuid) ?? 0) || b.id - a.id)[0];
}

/** Steps from parent to child or back, by uuid; a parent that was deleted still joins its children. */
function distancesFrom(
  source: SourcePoint,
  all: readonly SourcePoint[],
  lineage: Iterable<readonly [string, string]>,
): ReadonlyMap<string, number> {
  const neighbours = new Map<string, string[]>();
  const join = (a: string, b: string) => {
    const known = neighbours.get(a);
    if (known === undefined) neighbours.set(a, [b]);
    else known.push(b);
  };
  const descents = [source, ...all].flatMap(({ uuid, parentUUID }) =>
    parentUUID === undefined ? [] : [[uuid, parentUUID] as const],
  );
  for (const [uuid, parentUUID] of [...descents, ...lineage]) {
    join(uuid, parentUUID);
    join(parentUUID, uuid);
  }
  const distances = new Map([[source.uuid, 0]]);
  for (const [uuid, distance] of distances) {
    for (const next of neighbours.get(uuid) ?? []) if (!distances.has(next)) distances.set(next, distance + 1);
  }
  return distances;
}
