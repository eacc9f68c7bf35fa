import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { StorageError } from './errors.ts';
import type { Layout } from './layout.ts';

/** What the node remembers of a volume, so that it can be recognised, repaired and adopted without the API server. */
const volumeRecordSchema = z.object({
  schemaVersion: z.literal(1),
  kind: z.literal('LoopbackVolume'),
  uid: z.string(),
  namespace: z.string(),
  name: z.string(),
  createdAt: z.iso.datetime(),
  /** Before a format has come to its end this is the label of what it makes too: so an interrupted one is recognised as ours. */
  filesystemUUID: z.string(),
  /** The image that this record was made for; a format happens to no other. */
  imageInode: z.number(),
  /** False until the filesystem is complete and on disk: only then may it be formatted (again). */
  initialized: z.boolean(),
  /** Size on which image, loop device and filesystem last agreed, in bytes. */
  sizeBytes: z.number(),
  /** The operator's own subvolume; there before `initialized` is true while `data/` is being filled. */
  tree: z.object({ id: z.number(), uuid: z.string() }).optional(),
  /** The uid under which image, exports and another record are, which are being taken over; absent once they are here. */
  adopting: z.string().optional(),
  /** A resize that was begun; file and filesystem may disagree while it is there. */
  resize: z.object({ fromBytes: z.number(), toBytes: z.number() }).optional(),
  /** Errors of the device that btrfs counted in earlier mounts and could not write down, by kind. */
  lostErrors: z.record(z.string(), z.number()).optional(),
  /** The last minimize that was finished: for which wish, of which generation of the object, with which result. */
  minimized: z.object({ request: z.string(), generation: z.number(), sizeBytes: z.number() }).optional(),
  /** A size that the data did not fit into, and how much was used then: tried anew, it would cost the same again. */
  refusedShrink: z.object({ targetBytes: z.number(), usedBytes: z.number(), message: z.string() }).optional(),
  /** Where the export of the image is, or is about to be; `done` once it is complete and on disk. */
  export: z
    .object({
      namespaceUid: z.string(),
      file: z.string(),
      done: z
        .object({
          sizeBytes: z.number(),
          sha256: z.string(),
          filesystemUUID: z.string(),
          exportedAt: z.iso.datetime(),
        })
        .optional(),
    })
    .optional(),
});
export type VolumeRecord = z.infer<typeof volumeRecordSchema>;

/** A record is there that can't be read: it is torn, or of a later version. */
export interface RecordDamage {
  readonly error: StorageError;
  /** What it says of this volume all the same, field by field; one of a later version says nearly all. */
  readonly fields: Partial<VolumeRecord>;
}

/** The record of a volume, or undefined if there is none. Throws `damaged` when it can't be read as one, or is another volume's. */
export async function loadRecord(layout: Layout, uid: string): Promise<VolumeRecord | undefined> {
  const { record, damage } = await tryRecord(layout, uid);
  if (damage !== undefined) throw damage.error;
  return record;
}

/** {@link loadRecord} for whoever can do without: what is wrong with the record, and what is left of it. */
export async function tryRecord(
  layout: Layout,
  uid: string,
): Promise<{ readonly record?: VolumeRecord; readonly damage?: RecordDamage }> {
  const path = layout.recordPath(uid);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return {};
    throw error;
  }
  try {
    return { record: volumeRecordSchema.extend({ uid: z.literal(uid) }).parse(JSON.parse(text)) };
  } catch (cause) {
    const fields = fieldsOf(text, uid);
    return { damage: { fields, error: damaged(path, uid, fields, cause) } };
  }
}

function fieldsOf(text: string, uid: string): Partial<VolumeRecord> {
  let found: Record<string, unknown>;
  try {
    found = z.looseObject({ uid: z.literal(uid), kind: z.literal('LoopbackVolume') }).parse(JSON.parse(text));
  } catch {
    return {};
  }
  const readable = Object.entries(volumeRecordSchema.shape).flatMap(([name, schema]) => {
    const { data } = schema.safeParse(found[name]);
    return data === undefined ? [] : [[name, data]];
  });
  return Object.fromEntries(readable) as Partial<VolumeRecord>;
}

function damaged(path: string, uid: string, { namespace, name }: Partial<VolumeRecord>, cause: unknown): StorageError {
  const isNamed = namespace !== undefined && name !== undefined;
  const identity = { kind: 'LoopbackVolume', uid, namespace: '<namespace>', name: '<name>' };
  const naming = isNamed ? '' : `write ${JSON.stringify(identity)} into it, `;
  const message = `the record ${path} can't be read; put back a copy of it, or use the version that wrote it. Else ${naming}delete the object with deletionPolicy Retain, and make it anew with source.adopt.uid: ${uid}`;
  return new StorageError('damaged', message, { cause, reason: 'RecordDamaged' });
}

/** The record is whole and on disk, or the old one still is. */
export async function saveRecord(layout: Layout, record: VolumeRecord): Promise<void> {
  await writeWhole(layout.recordPath(record.uid), `${JSON.stringify(record, undefined, 2)}\n`);
}

/** The record is gone, on disk too; safe to repeat. */
export async function removeRecord(layout: Layout, uid: string): Promise<void> {
  const path = layout.recordPath(uid);
  await rm(path, { force: true });
  await syncDirectory(dirname(path));
}

/** Temporary file in the same directory, write, fsync, rename, fsync of the directory (rule 16). */
async function writeWhole(path: string, text: string): Promise<void> {
  const temporaryPath = `${path}.tmp`;
  {
    await using file = await open(temporaryPath, 'w', 0o600);
    await file.writeFile(text);
    await file.sync();
  }
  await rename(temporaryPath, path);
  await syncDirectory(dirname(path));
}

/** What was created, renamed or removed in the directory is on disk. */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

/** The directory is there and only root can look into it, also if it was there with another mode (kubelet makes a hostPath 0755). */
export async function ensurePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
}

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
