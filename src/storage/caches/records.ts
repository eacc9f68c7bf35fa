import { z } from 'zod';
import { treeLayout } from '../layout.ts';
import { RECORD_NAME, type Tree } from '../tree.ts';

const identity = {
  schemaVersion: z.literal(1),
  uid: z.string(),
  namespace: z.string(),
  name: z.string(),
  createdAt: z.iso.datetime(),
};

/** What the volume remembers of a BuildCache. */
const cacheRecordSchema = z.object({
  kind: z.literal('BuildCache'),
  ...identity,
  /** The value of spec.resetToken that `firstGeneration` was started for. */
  resetToken: z.string(),
  /** Claims of older generations publish nothing; it is empty, or holds the seed. */
  firstGeneration: z.number(),
  /** Number of the next generation: written before the generation is made, so none is ever given twice. */
  nextGeneration: z.number(),
  /** What generations were made of, by number; those that are gone are dropped with the next write. */
  made: z.record(
    z.string(),
    z.object({
      from: z.enum(['Empty', 'Seed', 'Claim']),
      /** Name and uid of the claim or Snapshot. */
      name: z.string().optional(),
      uid: z.string().optional(),
      at: z.iso.datetime(),
    }),
  ),
});
export type CacheRecord = z.infer<typeof cacheRecordSchema>;
export type GenerationOrigin = CacheRecord['made'][string];

/** What the volume remembers of a BuildCacheClaim; there once its clone may be used. */
const claimRecordSchema = z.object({
  kind: z.literal('BuildCacheClaim'),
  ...identity,
  cacheUid: z.string(),
  baseGeneration: z.number(),
  cloneUUID: z.string(),
  /** Of btrfs, of the clone, after its top directory was given to its owner: a larger one means that it has changed. */
  btrfsGeneration: z.number(),
  /** What becomes of the clone, once that was judged: on disk before anybody is told and before the clone goes. */
  released: z
    .object({
      outcome: z.enum(['Published', 'Superseded', 'Unchanged', 'Discarded']),
      reason: z.string(),
      message: z.string(),
      generation: z.number().optional(),
    })
    .optional(),
});
export type ReleaseRecord = NonNullable<z.infer<typeof claimRecordSchema>['released']>;
export type ClaimRecord = z.infer<typeof claimRecordSchema>;

export const cacheRecordPath = (uid: string) => `${treeLayout.cachePath(uid)}/${RECORD_NAME}`;
export const claimRecordPath = (uid: string) => `${treeLayout.claimPath(uid)}/${RECORD_NAME}`;

/** `'damaged'`: there is something that can't be read as the record of this object. */
export type Recorded<T> = T | 'damaged' | undefined;

export async function readCacheRecord(tree: Tree, uid: string): Promise<Recorded<CacheRecord>> {
  return parseRecord(cacheRecordSchema, uid, await tree.readRecord(cacheRecordPath(uid)));
}

/** As {@link readCacheRecord}, whatever uid it names: of a cache that is being adopted it names the heir. */
export async function readForeignCacheRecord(tree: Tree, uid: string): Promise<Recorded<CacheRecord>> {
  return parseRecord(cacheRecordSchema, undefined, await tree.readRecord(cacheRecordPath(uid)));
}

export async function readClaimRecord(tree: Tree, uid: string): Promise<Recorded<ClaimRecord>> {
  return parseRecord(claimRecordSchema, uid, await tree.readRecord(claimRecordPath(uid)));
}

function parseRecord<T extends { readonly uid: string }>(
  schema: z.ZodType<T>,
  uid: string | undefined,
  text: string | undefined,
): Recorded<T> {
  if (text === undefined) return undefined;
  try {
    const record = schema.parse(JSON.parse(text));
    return uid === undefined || record.uid === uid ? record : 'damaged';
  } catch {
    return 'damaged';
  }
}
