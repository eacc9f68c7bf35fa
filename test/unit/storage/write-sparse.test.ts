import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeSparse } from '../../../src/storage/volumes/write-sparse.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'write-sparse-'));
afterAll(() => rmSync(dir, { recursive: true }));
const file = path.join(dir, 'image');

/** The file, with writes that take `most` bytes at a time. */
async function written(chunks: readonly Buffer[], most: (position: number) => number): Promise<Buffer> {
  await using handle = await open(file, 'w+');
  const write = ((chunk: Buffer, offset: number, length: number, position: number) =>
    handle.write(chunk, offset, Math.min(length, most(position)), position)) as FileHandle['write'];
  const truncate = (length?: number) => handle.truncate(length);
  await writeSparse(ReadableStream.from(chunks) as unknown as AsyncIterable<Buffer>, { write, truncate }, 2 ** 20);
  return readFileSync(file);
}

describe('writeSparse', () => {
  const chunks = [randomBytes(5000), Buffer.alloc(4096), randomBytes(70), Buffer.alloc(9000)];

  it.each([7, 4096, 2 ** 20])('F10 the file is what came, whatever a write takes: %i bytes at a time', async (most) => {
    expect((await written(chunks, () => most)).equals(Buffer.concat(chunks))).toBe(true);
  });

  it('F10 a write that takes nothing fails the import', async () => {
    await expect(written(chunks, (position) => (position < 3000 ? 3000 : 0))).rejects.toThrow('at byte 3000');
  });

  it('what is longer than the volume is refused', async () => {
    await expect(written([randomBytes(2 ** 20), randomBytes(1)], () => 2 ** 20)).rejects.toMatchObject({
      reason: 'SourceDoesNotFit',
    });
  });
});
