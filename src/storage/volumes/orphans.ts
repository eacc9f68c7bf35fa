import { readdir, stat } from 'node:fs/promises';
import type { Storage } from '../context.ts';
import { type Layout, uidOfFile } from '../layout.ts';
import { isErrno, tryRecord } from '../records.ts';

/** Data on this node that no object asks for. */
export interface OrphanData {
  readonly uid: string;
  readonly kind: 'LoopbackVolume' | 'Snapshot' | 'BuildCache' | 'BuildCacheClaim';
  /** As the record has it; undefined without a readable record. */
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  /** Of a volume: what its image takes on the node; 0 for a record without an image. */
  readonly bytes?: number;
  /** Of a volume: size of its image. */
  readonly sizeBytes?: number;
  /** Of what lies in a volume: name of that. */
  readonly volume?: string;
  /** Of a Snapshot. */
  readonly access?: 'ReadOnly' | 'ReadWrite';
}

/** Images and records of other uids than the known ones, in order of their uids. Changes nothing. */
export async function findOrphans(storage: Storage, known: ReadonlySet<string>): Promise<readonly OrphanData[]> {
  const { layout } = storage;
  const uids = await uidsIn(layout.imagesPath, layout.recordsPath);
  return await Promise.all([...uids].filter((uid) => !known.has(uid)).map((uid) => describe(storage, uid))).then(
    (orphans) => orphans.toSorted((a, b) => (a.uid < b.uid ? -1 : 1)),
  );
}

/** Of all volumes that are or were on the node. */
export async function recordedUids({ layout }: Storage): Promise<ReadonlySet<string>> {
  return await uidsIn(layout.recordsPath);
}

async function uidsIn(...areas: readonly string[]): Promise<ReadonlySet<string>> {
  const names = await Promise.all(areas.map((area) => readdir(area)));
  return new Set(names.flat().flatMap((name) => uidOfFile(name) ?? []));
}

async function describe({ layout }: Storage, uid: string): Promise<OrphanData> {
  // What can't be read as a record is an orphan all the same.
  const { namespace, name } = await recordedNames(layout, uid);
  return { uid, kind: 'LoopbackVolume', namespace, name, ...(await sizesOf(layout.imagePath(uid))) };
}

/** Namespace and name, also of a record of which little else can be read. */
export async function recordedNames(layout: Layout, uid: string): Promise<Pick<OrphanData, 'namespace' | 'name'>> {
  const { record, damage } = await tryRecord(layout, uid).catch(() => ({ record: undefined, damage: undefined }));
  const { namespace, name } = record ?? damage?.fields ?? {};
  return { namespace, name };
}

async function sizesOf(imagePath: string): Promise<Pick<OrphanData, 'bytes' | 'sizeBytes'>> {
  try {
    const { blocks, size } = await stat(imagePath);
    return { bytes: blocks * 512, sizeBytes: size };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { bytes: 0 };
    throw error;
  }
}
