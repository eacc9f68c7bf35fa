import { StorageError } from './errors.ts';

/** Where content is to go. */
export interface RoomForContent {
  readonly bytes: number;
  /** As in the spec of a volume. */
  readonly compression: string;
}

/** btrfs compresses 128 KiB at a time, into one block at best. */
const MOST_COMPRESSED = 32;
/** Commands, names and data that lies in metadata take their room elsewhere. */
const DATA_PART = 0.9;

/** True if so many bytes of a stream can't fit, however well they may compress. */
export function isTooMuch(streamBytes: number, { bytes, compression }: RoomForContent): boolean {
  const leastBytes = compression === 'none' ? streamBytes * DATA_PART : streamBytes / MOST_COMPRESSED;
  return leastBytes > bytes;
}

/** Asks for room before the first byte. Throws `out-of-space` (OutOfSpace); says nothing where either is not known. */
export function refuseWithoutRoom(streamBytes: number | undefined, room: RoomForContent | undefined): void {
  if (streamBytes === undefined || room === undefined || !isTooMuch(streamBytes, room)) return;
  const needed = Math.ceil(streamBytes / 1024 ** 2);
  throw new StorageError(
    'out-of-space',
    `the volume has no room for the stream, which has about ${needed}Mi; raise its size, or delete data`,
    { reason: 'OutOfSpace' },
  );
}
