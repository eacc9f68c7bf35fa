import { open } from 'node:fs/promises';
import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

/** What the primary btrfs superblock says (64 KiB into the device; fs/btrfs/fs.h `struct btrfs_super_block`). */
export interface Superblock {
  readonly filesystemUUID: string;
  /** Number of the last commit. */
  readonly generation: number;
  /** Size of the filesystem in bytes, whatever the profiles of its block groups are: statfs(2) tells half of it for data of profile dup. */
  readonly totalBytes: number;
  /** Devices that the filesystem needs. */
  readonly deviceCount: number;
  /** Unit of all that is allocated, in bytes; the size of the filesystem is a multiple of it. */
  readonly sectorBytes: number;
  /** Data and metadata share block groups (mkfs.btrfs --mixed). */
  readonly isMixed: boolean;
  /** A filesystem that others are made on top of, which is never written to (btrfstune -S). */
  readonly isSeed: boolean;
  readonly label: string;
}

const TIMEOUT_MS = 10_000;
const OFFSET = 0x10000;
const LENGTH = 0x1000;
const LABEL_OFFSET = 0x12b;
const LABEL_LENGTH = 256;
const MAGIC = '_BHRfS_M';
const FLAG_SEEDING = 1n << 32n;
const INCOMPAT_MIXED_GROUPS = 1n << 2n;

/** The superblock in an image file, or undefined if there is none. The file lies on the node's own filesystem: this can't hang on a volume. */
export async function readSuperblock(imagePath: string): Promise<Superblock | undefined> {
  await using file = await open(imagePath, 'r');
  const block = Buffer.alloc(LENGTH);
  const { bytesRead } = await file.read(block, 0, LENGTH, OFFSET);
  return bytesRead < LENGTH ? undefined : parseSuperblock(block);
}

/** The UUID of the filesystem in an image file that a tool has just made or renamed. */
export async function readFilesystemUUID(imagePath: string): Promise<string> {
  const superblock = await readSuperblock(imagePath);
  if (superblock === undefined) throw new UnexpectedOutputError(`superblock of ${imagePath}`, '');
  return superblock.filesystemUUID;
}

/**
 * {@link readSuperblock} of a block device, by a command: a device may hang, and with it whoever reads, which must be no thread of this process. On
 * the device of a mounted filesystem it is that of the last commit: the kernel writes it through the same page cache.
 */
export async function readDeviceSuperblock(run: Run, devicePath: string): Promise<Superblock | undefined> {
  const part = [`--skip-bytes=${OFFSET}`, `--read-bytes=${LENGTH}`];
  const args = ['--address-radix=n', '--format=x1', '--output-duplicates', ...part, '--', devicePath];
  const { stdout } = await run({ file: 'od', args, timeoutMs: TIMEOUT_MS });
  const block = Buffer.from(stdout.replaceAll(/\s/g, ''), 'hex');
  return block.length < LENGTH ? undefined : parseSuperblock(block);
}

/** Reads the 4096 bytes of a superblock; undefined if they don't have its magic. The checksum is left to the kernel. */
export function parseSuperblock(block: Buffer): Superblock | undefined {
  if (block.toString('latin1', 0x40, 0x48) !== MAGIC) return undefined;
  const hex = block.toString('hex', 0x20, 0x30);
  const filesystemUUID = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return {
    filesystemUUID,
    generation: Number(block.readBigUInt64LE(0x48)),
    totalBytes: Number(block.readBigUInt64LE(0x70)),
    deviceCount: Number(block.readBigUInt64LE(0x88)),
    sectorBytes: block.readUInt32LE(0x90),
    isMixed: (block.readBigUInt64LE(0xbc) & INCOMPAT_MIXED_GROUPS) !== 0n,
    isSeed: (block.readBigUInt64LE(0x38) & FLAG_SEEDING) !== 0n,
    label: block.toString('utf8', LABEL_OFFSET, LABEL_OFFSET + LABEL_LENGTH).replace(/\0.*$/s, ''),
  };
}
