import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { openIncoming } from '../../../../src/storage/streams/incoming-stream.ts';
import { strictStreamLimits } from '../../../../src/storage/streams/validate-stream.ts';
import { chunksOf } from '../../../builders/chunks.ts';
import { command, full, increment, PARENT_UUID, rawCommand, streamOf, subvol } from '../../../builders/send-stream.ts';

const never = new AbortController().signal;
const open = (source: Readable, signal = never) => openIncoming(source, strictStreamLimits, signal);
const mkfile = command('mkfile', { path: 'a' });
const device = command('mknod', { path: 'device', mode: 0o20644, rdev: 1 });
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('openIncoming', () => {
  it.each([1, 7, 100_000])(
    'openIncoming: tells what the stream is, and gives all of it, in chunks of %i',
    async (size) => {
      const stream = increment(mkfile, command('write', { path: 'a', data: Buffer.alloc(40_000) }));
      const incoming = await open(Readable.from(chunksOf(stream, () => size)));
      expect(incoming.summary).toMatchObject({ kind: 'incremental', name: 'received' });
      expect(incoming.summary.parentUuid?.replaceAll('-', '')).toBe(PARENT_UUID.toString('hex'));
      expect((await buffer(incoming.stream)).equals(stream)).toBe(true);
    },
  );

  it('openIncoming: aborted before it begins it fails like any other, and nothing else does', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      await expect(open(Readable.from([full()]), AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
      await turn();
      await turn();
    } finally {
      process.off('unhandledRejection', note);
    }
    expect(unhandled).toEqual([]);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['half a header', full().subarray(0, 9)],
    ['half a first command', full().subarray(0, 30)],
    ['something else', Buffer.from('x'.repeat(100))],
    ['another first command', streamOf(1, mkfile)],
    ['a first command that is too long', streamOf(2, rawCommand(1, Buffer.alloc(600_000)))],
    ['a first command that is long, and wrong', streamOf(2, rawCommand(1, Buffer.alloc(500_000)))],
  ])('openIncoming: refuses %s, and closes the source', async (_, bytes) => {
    for (const size of [bytes.length, 1_000]) {
      const source = Readable.from(chunksOf(bytes, () => size));
      await expect(open(source)).rejects.toMatchObject({ reason: 'StreamRefused' });
      await turn();
      expect(source.destroyed).toBe(true);
    }
  });

  it('openIncoming: a stream that is refused in the chunk that begins it fails in the hands of its reader', async () => {
    const incoming = await open(Readable.from([full(device)]));
    // As long as it takes to make ready for it.
    await turn();
    await expect(buffer(incoming.stream)).rejects.toThrow();
    expect(incoming.stream.errored).toMatchObject({ code: 'refused', reason: 'StreamRefused' });
  });

  it('openIncoming: throws what the source fails with, before and after the first command', async () => {
    const failure = new Error('cut');
    const source = new PassThrough();
    const opening = open(source);
    source.destroy(failure);
    await expect(opening).rejects.toBe(failure);

    const second = new PassThrough();
    second.write(streamOf(1, subvol(), mkfile));
    const incoming = await open(second);
    const reading = buffer(incoming.stream);
    second.destroy(failure);
    await expect(reading).rejects.toBe(failure);
    expect(incoming.stream.errored).toBe(failure);
  });

  it('openIncoming: fails for a source that has failed already', async () => {
    const source = new PassThrough();
    source.on('error', () => undefined).destroy(new Error('cut'));
    await turn();
    await expect(open(source)).rejects.toThrow();
  });

  it('openIncoming: ends with the signal, before and after the first command', async () => {
    for (const bytes of [Buffer.alloc(3), streamOf(1, subvol(), mkfile)]) {
      const abort = new AbortController();
      const source = new PassThrough();
      source.write(bytes);
      const opening = open(source, abort.signal).then((incoming) => buffer(incoming.stream));
      await turn();
      abort.abort();
      await expect(opening).rejects.toMatchObject({ name: 'AbortError' });
      await turn();
      expect(source.destroyed).toBe(true);
    }
  });
});
