import { readFile } from 'node:fs/promises';

const ROOT = '/sys/fs/btrfs';
/** Where the kernel calls metadata exhausted although some of it is free yet (`btrfs_statfs` in fs/btrfs/super.c). */
const METADATA_EXHAUSTED_BYTES = 4 * 1024 * 1024;
/** The first MiB of a device is never allocated (`BTRFS_DEVICE_RANGE_RESERVED`). */
const RESERVED_BYTES = 1024 * 1024;

/** Figures of `/sys/fs/btrfs/FSID/allocation/KIND`; `disk…` counts all copies, the others one. */
export interface KindFigures {
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly diskTotalBytes: number;
  readonly diskUsedBytes: number;
}

export interface AllocationFigures {
  readonly data: KindFigures;
  readonly metadata: KindFigures;
  readonly system: KindFigures;
  /** What the kernel sets aside of metadata for itself, so that deleting works on a full filesystem; one copy. */
  readonly globalReserveBytes: number;
}

/** Allocation of a filesystem on one device, all in bytes on the device: metadata of profile dup counts twice. */
export interface Space {
  readonly dataTotal: number;
  readonly dataUsed: number;
  readonly metadataTotal: number;
  readonly metadataUsed: number;
  readonly systemTotal: number;
  readonly systemUsed: number;
  readonly unallocatedBytes: number;
  readonly usedBytes: number;
  /** What new data finds: free in data chunks and not allocated yet; 0 when metadata is exhausted. Metadata takes from it too. */
  readonly freeBytes: number;
}

/** Space of a live filesystem of `sizeBytes`, or undefined when nothing on this machine keeps it alive. Current within a commit (30 s). */
export async function observeSpace(filesystemUUID: string, sizeBytes: number): Promise<Space | undefined> {
  const figures = await readAllocation(filesystemUUID);
  return figures === undefined ? undefined : spaceOf(figures, sizeBytes);
}

/** The kernel's own figures of a live filesystem; undefined when nothing on this machine keeps it alive. */
export async function readAllocation(filesystemUUID: string): Promise<AllocationFigures | undefined> {
  const root = `${ROOT}/${filesystemUUID}/allocation`;
  try {
    const kinds = ['data', 'metadata', 'system'] as const;
    const [data, metadata, system] = await Promise.all(kinds.map((kind) => readKind(`${root}/${kind}`)));
    const globalReserveBytes = Number(await readFile(`${root}/global_rsv_size`, 'utf8'));
    if (data === undefined || metadata === undefined || system === undefined) return undefined;
    return { data, metadata, system, globalReserveBytes };
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENODEV'))
      return undefined;
    throw error;
  }
}

async function readKind(path: string): Promise<KindFigures> {
  const figure = async (name: string) => Number(await readFile(`${path}/${name}`, 'utf8'));
  const [totalBytes, usedBytes, diskTotalBytes, diskUsedBytes] = await Promise.all([
    figure('total_bytes'),
    figure('bytes_used'),
    figure('disk_total'),
    figure('disk_used'),
  ]);
  return { totalBytes, usedBytes, diskTotalBytes, diskUsedBytes };
}

/** Puts the kernel's figures and the filesystem's size together (`btrfs_statfs` in fs/btrfs/super.c). */
export function spaceOf(figures: AllocationFigures, sizeBytes: number): Space {
  const { data, metadata, system, globalReserveBytes } = figures;
  const allocated = data.diskTotalBytes + metadata.diskTotalBytes + system.diskTotalBytes;
  const unallocatedBytes = Math.max(0, sizeBytes - allocated);
  const metadataFree = metadata.totalBytes - metadata.usedBytes;
  // What an administrator has converted to dup holds half as much.
  const dataCopies = data.totalBytes === 0 ? 1 : data.diskTotalBytes / data.totalBytes;
  const exhausted = unallocatedBytes <= RESERVED_BYTES && metadataFree < METADATA_EXHAUSTED_BYTES + globalReserveBytes;
  return {
    dataTotal: data.diskTotalBytes,
    dataUsed: data.diskUsedBytes,
    metadataTotal: metadata.diskTotalBytes,
    metadataUsed: metadata.diskUsedBytes,
    systemTotal: system.diskTotalBytes,
    systemUsed: system.diskUsedBytes,
    unallocatedBytes,
    usedBytes: data.diskUsedBytes + metadata.diskUsedBytes + system.diskUsedBytes,
    freeBytes: exhausted
      ? 0
      : data.totalBytes - data.usedBytes + Math.floor(Math.max(0, unallocatedBytes - RESERVED_BYTES) / dataCopies),
  };
}
