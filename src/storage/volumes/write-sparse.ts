import type { FileHandle } from 'node:fs/promises';
import { sourceDoesNotFit } from './fill.ts';

/**
 * The file is what came, to its last byte, with holes for zeros. Throws what a write throws, and `out-of-space` (SourceDoesNotFit) for a
 * stream longer than `sizeBytes`, which is not read to its end.
 */
export async function writeSparse(
  stream: AsyncIterable<Buffer>,
  file: Pick<FileHandle, 'truncate' | 'write'>,
  sizeBytes: number,
): Promise<void> {
  await file.truncate(0);
  let length = 0;
  for await (const chunk of stream) {
    if (length + chunk.length > sizeBytes) throw sourceDoesNotFit(undefined, sizeBytes);
    if (!chunk.every((byte) => byte === 0)) await writeWhole(file, chunk, length);
    length += chunk.length;
  }
  await file.truncate(length);
}

/** write(2) may take a part only, as when the disk gets full: the next one takes the rest, or says why not. */
async function writeWhole(file: Pick<FileHandle, 'write'>, chunk: Buffer, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, written, chunk.length - written, position + written);
    if (bytesWritten === 0) throw new Error(`a write at byte ${position + written} took nothing`);
    written += bytesWritten;
  }
}
