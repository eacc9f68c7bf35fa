import { z } from 'zod';
import type { Storage } from './context.ts';
import { homePath, ownerAt, stagingUidAt, type TreeKind, treeLayout } from './layout.ts';
import { RECORD_NAME, type Tree } from './tree.ts';
import { type OrphanData, recordedNames } from './volumes/orphans.ts';

/** Of all records alike; the rest is the kind's own. */
const identitySchema = z.object({ kind: z.string(), namespace: z.string(), name: z.string() });

/** So many records are read for a look, one command each. */
const MAX_READ = 200;

/** The record of an object in a volume, as far as all kinds have it; undefined if there is none that can be read. */
export async function readIdentity(tree: Tree, kind: TreeKind, uid: string) {
  const text = await tree.readRecord(`${homePath(kind, uid)}/${RECORD_NAME}`);
  try {
    return text === undefined ? undefined : z.looseObject(identitySchema.shape).parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

export interface TreeOrphans {
  readonly orphans: readonly OrphanData[];
  /** Uids of objects that unfinished work is for. */
  readonly staged: readonly string[];
}

/**
 * What lies in the mounted tree of a volume and belongs to objects other than the known ones, in order of their uids: one list of
 * subvolumes, and the record of each orphan. Changes nothing. Throws `not-ready` if the volume is not mounted.
 */
export async function findTreeOrphans(
  storage: Storage,
  volumeUid: string,
  known: () => ReadonlySet<string>,
): Promise<TreeOrphans> {
  const { name: volume } = await recordedNames(storage.layout, volumeUid);
  return await storage.withTree(volumeUid, async (tree) => {
    const before = known();
    const paths = [...(await tree.list()).keys()];
    // Both: what came or went while it was listed has an object, or had one that took it along.
    const isKnown = (uid: string) => before.has(uid) || known().has(uid);
    const found = new Map(paths.flatMap((path) => ownerAt(path) ?? []).map((owner) => [owner.uid, owner]));
    const orphans = [...found.values()].filter(({ uid }) => !isKnown(uid)).toSorted((a, b) => (a.uid < b.uid ? -1 : 1));
    const staged = paths.flatMap((path) => stagingUidAt(path) ?? []).filter((uid) => !isKnown(uid));
    const described = await Promise.all(
      orphans.map(async ({ kind, uid }, index): Promise<OrphanData> => {
        const record = index < MAX_READ ? await readIdentity(tree, kind, uid) : undefined;
        const access = paths.includes(treeLayout.committedPath(uid)) ? 'ReadOnly' : 'ReadWrite';
        return {
          uid,
          kind,
          namespace: record?.namespace,
          name: record?.name,
          ...(volume === undefined ? {} : { volume }),
          ...(kind === 'Snapshot' ? { access } : {}),
        };
      }),
    );
    return { orphans: described, staged };
  });
}
