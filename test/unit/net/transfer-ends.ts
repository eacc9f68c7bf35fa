import { connect, createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { fetchStream } from '../../../src/net/transfer-client.ts';
import type { StreamRequest } from '../../../src/net/transfer-protocol.ts';
import { startTransferServer, type TransferServerOptions } from '../../../src/net/transfer-server.ts';
import type { TlsIdentity } from '../../../src/net/transfer-tls.ts';
import { createTestAuthority } from '../../builders/certificates.ts';

export const IDLE_MS = 400;
export const request: StreamRequest = {
  namespace: 'default',
  name: 'target',
  uid: '11111111-2222-3333-4444-555555555555',
  ancestors: [{ uuid: '01234567-89ab-cdef-0123-456789abcdef' }],
};
export const never = new AbortController().signal;

/** A server of node-a that gives `content` unless told otherwise, and a way to fetch from it as node-b. */
export async function startEnds(options: Partial<TransferServerOptions> = {}) {
  const authority = createTestAuthority();
  const failures: unknown[] = [];
  const server = await startTransferServer({
    address: '127.0.0.1:0',
    identity: authority.identityOf('node-a'),
    limit: 4,
    idleMs: IDLE_MS,
    introductionMs: 500,
    authorise: async () => {},
    serve: async () => ({ stream: Readable.from([Buffer.from('stream')]) }),
    onFailure: (error) => failures.push(error),
    ...options,
  });
  onTestFinished(() => server.close());
  const identity = authority.identityOf('node-b');
  return {
    server,
    authority,
    failures,
    fetch: (
      changes: { identity?: TlsIdentity; request?: Partial<StreamRequest>; nodeName?: string; port?: number } = {},
      signal: AbortSignal = never,
    ) =>
      fetchStream(
        {
          peer: { nodeName: changes.nodeName ?? 'node-a', endpoint: `127.0.0.1:${changes.port ?? server.port}` },
          identity: changes.identity ?? identity,
          request: { ...request, ...changes.request },
          idleMs: IDLE_MS,
        },
        signal,
      ),
  };
}

/** What the fetched stream holds; rejects with what broke it. */
export async function contentOf(fetched: ReturnType<typeof fetchStream>): Promise<Buffer> {
  return await buffer((await fetched).stream);
}

/** Passes `bytes` of what the server at `port` says on, and then does `then` to the connection. */
export async function startCutter(
  port: number,
  bytes: number,
  then: 'reset' | 'end' | 'stall' | 'flip',
): Promise<number> {
  const sockets = new Set<Socket>();
  const proxy = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    client.pipe(upstream);
    client.once('close', () => upstream.destroy());
    let left = bytes;
    upstream.on('data', (chunk: Buffer) => {
      const passed = chunk.subarray(0, left);
      left -= passed.length;
      client.write(passed);
      if (left > 0) return;
      if (then === 'flip') {
        const rest = Buffer.from(chunk.subarray(passed.length));
        if (rest.length > 0) rest[0] = (rest[0] ?? 0) ^ 1;
        client.write(rest);
        left = Number.POSITIVE_INFINITY;
        return;
      }
      upstream.pause();
      if (then === 'reset') client.resetAndDestroy();
      if (then === 'end') client.end();
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return (proxy.address() as { port: number }).port;
}
