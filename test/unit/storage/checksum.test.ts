import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createChecksum } from '../../../src/storage/checksum.ts';
import { chunksOf } from '../../builders/chunks.ts';

const HELLO = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
const OTHER = '0'.repeat(64);

async function through(text: string, expected: string | undefined, size = 2) {
  const out: Buffer[] = [];
  const stream = Readable.from(chunksOf(Buffer.from(text), () => size)).pipe(createChecksum(expected, 'the file'));
  const error = await (async () => {
    for await (const chunk of stream) out.push(chunk as Buffer);
  })().catch((reason: unknown) => reason);
  return { text: String(Buffer.concat(out)), error };
}

describe('createChecksum', () => {
  it.each([1, 2, 100])('createChecksum: passes what is as expected, in chunks of %i', async (size) => {
    expect(await through('hello', HELLO, size)).toEqual({ text: 'hello', error: undefined });
  });

  it('createChecksum: passes anything when nothing is expected', async () => {
    expect(await through('hello', undefined)).toEqual({ text: 'hello', error: undefined });
  });

  it.each(['hello!', 'hell', ''])(
    'createChecksum: fails at the end of %j, with what was expected and found',
    async (text) => {
      const { error } = await through(text, HELLO);
      expect(error).toMatchObject({
        code: 'damaged',
        reason: 'ChecksumMismatch',
        message: expect.stringMatching(
          new RegExp(`^the file has sha256 (?!${HELLO})[0-9a-f]{64}, and the spec says ${HELLO};`),
        ),
      });
    },
  );

  it('createChecksum: tells the digest that was found', async () => {
    expect((await through('hello', OTHER)).error).toMatchObject({ message: expect.stringContaining(HELLO) });
  });
});
