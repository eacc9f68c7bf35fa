import { buffer } from 'node:stream/consumers';
import { expect } from 'vitest';
import { type DownloadOptions, openDownload } from '../../../src/net/download.ts';
import { parsePrefix } from '../../../src/net/download-url.ts';
import { createTrust } from '../../../src/net/trusted-authorities.ts';
import { startDownloadServer } from '../../builders/download-server.ts';

/** For tests of patience; others give a busy machine all the time that it takes. */
export const IDLE_MS = 300;
export const trust = createTrust();

/** A server, and a way to download from it what is below /files, 1000 bytes at most. */
export async function startDownloads() {
  const server = await startDownloadServer();
  const open = (path: string, changes: Partial<DownloadOptions> = {}, signal = new AbortController().signal) =>
    openDownload(
      path.startsWith('/') ? `${server.url}${path}` : path,
      {
        allowedPrefixes: [parsePrefix(`${server.url}/files`)],
        maxBytes: 1000,
        idleMs: 20_000,
        secureContext: trust(server.caPem),
        allowPrivateAddresses: true,
        ...changes,
      },
      signal,
    );
  return {
    server,
    open,
    fetched: async (...args: Parameters<typeof open>) => await buffer((await open(...args)).stream),
    /** The same server by a name, which resolves to these addresses. */
    byName: (...addresses: string[]): [string, Partial<DownloadOptions>] => [
      `https://files.example:${server.port}/files/a`,
      {
        allowedPrefixes: [parsePrefix(`https://files.example:${server.port}/`)],
        resolve: async () => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      },
    ],
  };
}

export type Downloads = Awaited<ReturnType<typeof startDownloads>>;

export const failure = (code: 'refused' | 'failed', message: string | RegExp) =>
  expect.objectContaining({
    name: 'DownloadError',
    code,
    message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
  });
