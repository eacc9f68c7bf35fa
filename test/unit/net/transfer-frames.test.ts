import { randomBytes } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { FRAME, FrameReader, failureFrame, frameHeader } from '../../../src/net/transfer-frames.ts';

const data = (content: Uint8Array) => Buffer.concat([frameHeader(FRAME.data, content.length), content]);
const end = frameHeader(FRAME.end);
const heartbeat = frameHeader(FRAME.heartbeat);

/** What a reader makes of these bytes, which come in pieces and are followed by an end of the connection. */
async function read(...pieces: readonly Uint8Array[]): Promise<Buffer> {
  const source = new PassThrough();
  const reader = new FrameReader({ source, from: 'node node-a', idleMs: 1_000 });
  const content = buffer(reader);
  for (const piece of pieces) source.write(piece);
  source.end();
  return await content;
}

describe('FrameReader', () => {
  it('gives the content of data frames, wherever the pieces that come in are cut', async () => {
    const stream = Buffer.concat([
      data(Buffer.from('abc')),
      heartbeat,
      data(Buffer.from('')),
      data(Buffer.from('de')),
      end,
    ]);
    for (let cut = 0; cut <= stream.length; cut++) {
      expect(String(await read(stream.subarray(0, cut), stream.subarray(cut))), `cut at ${cut}`).toBe('abcde');
    }
    expect(String(await read(...Array.from(stream, (byte) => Buffer.of(byte))))).toBe('abcde');
  });

  it('gives frames of any size in blocks of bounded size', async () => {
    const content = randomBytes(3_000_000);
    const source = new PassThrough();
    const reader = new FrameReader({ source, from: 'node node-a', idleMs: 1_000 });
    const blocks: Buffer[] = [];
    reader.on('data', (block: Buffer) => blocks.push(block));
    source.end(Buffer.concat([data(content), end]));
    await new Promise((resolve) => reader.once('end', resolve));
    expect(Buffer.concat(blocks).equals(content)).toBe(true);
    expect(Math.max(...blocks.map(({ length }) => length))).toBeLessThanOrEqual(256 * 1024);
  });

  it.each([
    ['nothing', [], 'was cut off before the end of the stream'],
    ['data without end', [data(Buffer.from('abc'))], 'was cut off before the end of the stream'],
    ['half a frame', [data(Buffer.from('abc')).subarray(0, 7)], 'was cut off before the end of the stream'],
    ['half a header', [end.subarray(0, 3)], 'was cut off before the end of the stream'],
    ['a failure', [data(Buffer.from('a')), failureFrame('no\n luck')], 'broke off: no luck'],
    ['a failure in pieces', [...failureFrame('no luck')].map((byte) => Buffer.of(byte)), 'broke off: no luck'],
    ['an unknown frame', [frameHeader(9, 0)], 'sent something else than a stream'],
    ['a heartbeat with content', [frameHeader(FRAME.heartbeat, 1)], 'sent something else than a stream'],
    ['an end with content', [frameHeader(FRAME.end, 1)], 'sent something else than a stream'],
    ['a failure without words', [frameHeader(FRAME.failure, 0)], 'sent something else than a stream'],
    ['a failure without end', [frameHeader(FRAME.failure, 2 ** 32 - 1)], 'sent something else than a stream'],
    ['HTTP', [Buffer.from('HTTP/1.1 200 OK\r\n')], 'sent something else than a stream'],
  ])('is broken by %s', async (_, pieces, message) => {
    await expect(read(...pieces)).rejects.toMatchObject({ code: 'broken', message: `node node-a ${message}` });
  });

  it('ignores what follows the end', async () => {
    expect(String(await read(data(Buffer.from('abc')), end, randomBytes(100)))).toBe('abc');
    expect(String(await read(Buffer.concat([data(Buffer.from('abc')), end, randomBytes(100)])))).toBe('abc');
  });

  it('cuts a failure that is too long', async () => {
    await expect(read(failureFrame('x'.repeat(5_000)))).rejects.toThrow(`broke off: ${'x'.repeat(1024)}`);
  });
});
