import { randomBytes } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { TransferRefusal } from '../../../src/net/transfer-protocol.ts';
import type { PeerRequest } from '../../../src/net/transfer-server.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { contentOf, IDLE_MS, never, request, startCutter, startEnds } from './transfer-ends.ts';

/** Chunks of 64 KiB, as a pipe gives them. */
function chunked(content: Buffer): Readable {
  const count = Math.ceil(content.length / 65_536);
  return Readable.from(Array.from({ length: count }, (_, i) => content.subarray(i * 65_536, (i + 1) * 65_536)));
}

describe('fetchStream', () => {
  it('gets the bytes that the peer serves, and what they build on', async () => {
    const content = randomBytes(9_000_001);
    const seen: PeerRequest[] = [];
    const { fetch } = await startEnds({
      serve: async (peerRequest) => {
        seen.push(peerRequest);
        return { stream: chunked(content), incrementalFrom: 'parent', totalBytesEstimate: content.length };
      },
    });
    const fetched = await fetch();
    expect(fetched).toMatchObject({ incrementalFrom: 'parent', totalBytesEstimate: content.length });
    expect((await contentOf(Promise.resolve(fetched))).equals(content)).toBe(true);
    expect(seen).toEqual([{ ...request, peerNodeName: 'node-b' }]);
  });

  it('takes an empty stream for whole when the peer says so', async () => {
    const { fetch } = await startEnds({ serve: async () => ({ stream: Readable.from([]) }) });
    const fetched = await fetch();
    expect(fetched).toMatchObject({ incrementalFrom: undefined, totalBytesEstimate: undefined });
    expect(await contentOf(Promise.resolve(fetched))).toHaveLength(0);
  });

  it.each([
    ['Forbidden', 'refused', undefined],
    ['NotFound', 'refused', undefined],
    ['Conflict', 'refused', undefined],
    ['Busy', 'busy', 3000],
  ] as const)('tells a refusal %s as %s', async (reason, code, retryAfterMs) => {
    const refusal = new TransferRefusal(reason, 'not for\nyou', retryAfterMs === undefined ? {} : { retryAfterMs });
    const { fetch, failures } = await startEnds({ serve: () => Promise.reject(refusal) });
    await expect(fetch()).rejects.toMatchObject({ name: 'TransferError', code, reason, retryAfterMs });
    await expect(fetch()).rejects.toThrow(/^node node-a (refused|is busy): not for you$/);
    expect(failures).toEqual([]);
  });

  it('learns nothing of a failure inside of the peer, but that there was one', async () => {
    const { fetch, failures } = await startEnds({ serve: () => Promise.reject(new Error('secret')) });
    await expect(fetch()).rejects.toMatchObject({ code: 'broken', message: expect.not.stringContaining('secret') });
    expect(failures).toEqual([expect.objectContaining({ message: 'secret' })]);
  });

  it('starts no stream whose description does not fit a header, and destroys it', async () => {
    const stream = new PassThrough();
    const { fetch } = await startEnds({ serve: async () => ({ stream, incrementalFrom: 'a\nb' }) });
    await expect(fetch()).rejects.toMatchObject({ code: 'broken' });
    expect(stream.destroyed).toBe(true);
  });

  it('fails when the sender fails at its end, with what it says', async () => {
    const serve = async () => ({
      stream: chunked(randomBytes(200_000)),
      finished: Promise.reject(new Error('btrfs send: exit code 1')),
    });
    const { fetch } = await startEnds({ serve });
    await expect(contentOf(fetch())).rejects.toMatchObject({
      code: 'broken',
      message: 'node node-a broke off: btrfs send: exit code 1',
    });
  });

  it('bears a sender that is silent for longer than a connection may be', async () => {
    const stream = new PassThrough();
    const { fetch } = await startEnds({ serve: async () => ({ stream }) });
    const content = contentOf(fetch());
    await sleep(IDLE_MS * 3);
    stream.end('late');
    expect(String(await content)).toBe('late');
  });

  it('waits in line for longer than a connection may be silent', async () => {
    const first = new PassThrough();
    const streams = [first, Readable.from([Buffer.from('second')])];
    const { fetch } = await startEnds({ limit: 1, serve: async () => ({ stream: streams.shift() ?? first }) });
    const one = await fetch();
    const two = contentOf(fetch());
    await sleep(IDLE_MS * 3);
    first.end('first');
    expect(String(await contentOf(Promise.resolve(one)))).toBe('first');
    expect(String(await two)).toBe('second');
  });

  it('is turned away when the line is full', async () => {
    const { fetch } = await startEnds({ limit: 1, maxWaiting: 0, serve: async () => ({ stream: new PassThrough() }) });
    await fetch();
    await expect(fetch()).rejects.toMatchObject({ code: 'busy', reason: 'Busy', retryAfterMs: 15_000 });
  });

  it('F38 a peer that may not have what it asks for takes no place, also while that is found out', async () => {
    const refused = Promise.withResolvers<void>();
    const { fetch } = await startEnds({
      limit: 1,
      maxWaiting: 0,
      authorise: ({ name }) => (name === 'foreign' ? refused.promise : Promise.resolve()),
    });
    const foreign = fetch({ request: { name: 'foreign' } });
    const said = expect(foreign).rejects.toMatchObject({ reason: 'Forbidden' });
    expect(String(await contentOf(fetch()))).toBe('stream');
    refused.reject(new TransferRefusal('Forbidden', 'not yours'));
    await said;
  });

  it('F38 a peer has half of the places at most, and a part of the line: others are served at once', async () => {
    const { authority, fetch } = await startEnds({
      limit: 2,
      maxOfPeer: 2,
      serve: async ({ peerNodeName }) => ({
        stream: peerNodeName === 'node-b' ? new PassThrough() : Readable.from([Buffer.from('stream')]),
      }),
    });
    const stop = new AbortController();
    await fetch({}, stop.signal);
    const second = expect(fetch({}, stop.signal)).rejects.toThrow('enough');
    const nodeC = authority.identityOf('node-c');
    expect(String(await contentOf(fetch({ identity: nodeC })))).toBe('stream');
    await expect(fetch()).rejects.toMatchObject({ code: 'busy', reason: 'Busy' });
    stop.abort(new Error('enough'));
    await second;
  });

  it('is broken off by its signal, and the peer stops sending', async () => {
    const stream = new PassThrough();
    let theirs: AbortSignal = never;
    const { fetch } = await startEnds({
      serve: async (_, signal) => {
        theirs = signal;
        return { stream };
      },
    });
    const stop = new AbortController();
    const content = contentOf(fetch({}, stop.signal));
    stream.write('some');
    await sleep(50);
    stop.abort(new Error('deleted'));
    await expect(content).rejects.toThrow('deleted');
    await waitFor(() => theirs.aborted && stream.destroyed, { what: 'end of the sender' });
  });

  it('is broken off by its signal while the peer still makes up its mind', async () => {
    let theirs: AbortSignal = never;
    const { fetch } = await startEnds({
      serve: (_, signal) => {
        theirs = signal;
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    });
    const stop = new AbortController();
    const fetched = fetch({}, stop.signal);
    await waitFor(() => theirs !== never, { what: 'request' });
    stop.abort(new Error('deleted'));
    await expect(fetched).rejects.toThrow('deleted');
    await waitFor(() => theirs.aborted, { what: 'end of the sender' });
  });

  it('breaks when the server stops', async () => {
    const stream = new PassThrough();
    const { fetch, server } = await startEnds({ serve: async () => ({ stream }) });
    const content = contentOf(fetch());
    stream.write('some');
    await sleep(50);
    await server.close();
    await expect(content).rejects.toMatchObject({ code: 'broken' });
    expect(stream.destroyed).toBe(true);
  });

  it('says that nobody is there', async () => {
    const { fetch, server } = await startEnds();
    await server.close();
    await expect(fetch()).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('gives up on a peer that accepts connections and says nothing', async () => {
    const { fetch, server } = await startEnds();
    const port = await startCutter(server.port, 100, 'stall');
    await expect(fetch({ port })).rejects.toMatchObject({ code: 'idle' });
  });

  it('holds the sender back while its consumer takes nothing, and loses nothing by it', async () => {
    const content = randomBytes(24 * 2 ** 20);
    let sent = 0;
    const onBytes = (_: string, bytes: number) => {
      sent += bytes;
    };
    const { fetch } = await startEnds({
      idleMs: 5_000,
      hooks: { onBytes },
      serve: async () => ({ stream: chunked(content) }),
    });
    const fetched = await fetch();
    await sleep(IDLE_MS * 2);
    expect(sent).toBeLessThan(content.length);
    expect((await contentOf(Promise.resolve(fetched))).equals(content)).toBe(true);
  });

  it('stops the sender when its consumer takes nothing for too long', async () => {
    const stream = chunked(randomBytes(24 * 2 ** 20));
    const { fetch, failures } = await startEnds({ serve: async () => ({ stream }) });
    const fetched = await fetch();
    await waitFor(() => failures.length > 0, { what: 'end of patience' });
    expect(failures[0]).toMatchObject({ message: 'the peer took nothing for 0.4 s' });
    expect(stream.destroyed).toBe(true);
    await expect(contentOf(Promise.resolve(fetched))).rejects.toMatchObject({ code: 'broken' });
  });
});

describe('a connection that is disturbed', () => {
  const content = randomBytes(400_000);
  const bytes = Array.from({ length: 12 }, () => 1 + Math.floor(Math.random() * 400_000));
  it.each(['reset', 'end', 'stall', 'flip'] as const)(
    'never passes for a whole stream: %s at random bytes',
    async (then) => {
      const { fetch, server } = await startEnds({ serve: async () => ({ stream: chunked(content) }) });
      await Promise.all(
        bytes.map(async (cutAt) => {
          const port = await startCutter(server.port, cutAt, then);
          await expect(contentOf(fetch({ port })), `cut at ${cutAt}`).rejects.toMatchObject({ name: 'TransferError' });
        }),
      );
    },
  );
});
