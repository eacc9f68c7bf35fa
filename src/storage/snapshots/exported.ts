import { z } from 'zod';
import { attempt } from '../context.ts';
import { StorageError } from '../errors.ts';
import { treeLayout } from '../layout.ts';
import { RECORD_NAME, type Tree } from '../tree.ts';
import { readIdentity } from '../tree-orphans.ts';

const exportedSchema = z.object({
  name: z.string(),
  bytes: z.number(),
  sha256: z.string(),
  /** Of the subvolume to which it is the difference; absent for a full stream. */
  parentUUID: z.string().optional(),
});

/** A stream that was written, whole; whether its file is still there is another matter. */
export type Exported = z.infer<typeof exportedSchema>;

/** What the record of the Snapshot says of its exports, which it takes along when it is adopted. */
export async function readExported(tree: Tree, uid: string): Promise<readonly Exported[]> {
  const record = await attempt('read the record', () => readIdentity(tree, 'Snapshot', uid));
  return z.array(exportedSchema).safeParse(record?.exports).data ?? [];
}

/** The record says this from now on. One that can't be read is left as it is, and so is one that a full volume has no room for. */
export async function recordExported(tree: Tree, uid: string, exports: readonly Exported[]): Promise<void> {
  try {
    await attempt('record what is exported', async () => {
      const record = await readIdentity(tree, 'Snapshot', uid);
      if (record === undefined) return;
      await tree.replaceRecord(`${treeLayout.snapshotPath(uid)}/${RECORD_NAME}`, { ...record, exports });
    });
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'out-of-space') throw error;
  }
}
