import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { DownloadOptions } from '../../../src/net/download.ts';
import { parsePrefix } from '../../../src/net/download-url.ts';
import { content } from '../../builders/download-server.ts';
import { type Downloads, failure, startDownloads, trust } from './downloads.ts';

let server: Downloads['server'];
let open: Downloads['open'];
let fetched: Downloads['fetched'];
let byName: Downloads['byName'];

beforeAll(async () => {
  ({ server, open, fetched, byName } = await startDownloads());
});
afterAll(() => server?.[Symbol.asyncDispose]());
beforeEach(() => {
  server.answers.clear();
  server.requests.length = 0;
});

describe('openDownload: where it connects to', () => {
  it('openDownload: refuses an address that is not public, before it connects', async () => {
    await expect(open('/files/a', { allowPrivateAddresses: false })).rejects.toThrow(
      failure('refused', /127\.0\.0\.1:\d+ is no address of the public Internet.*--download-allow-private-addresses/),
    );
    expect(server.requests).toEqual([]);
  });

  it.each([[['127.0.0.1']], [['8.8.8.8', '10.0.0.1']], [['::ffff:127.0.0.1']], [['fd00::1', '1.1.1.1']]])(
    'openDownload: refuses a name that resolves to %j',
    async (addresses) => {
      const [url, options] = byName(...addresses);
      await expect(open(url, { ...options, allowPrivateAddresses: false })).rejects.toThrow(
        failure('refused', /files\.example:\d+, which is .*, is no address of the public Internet/),
      );
      expect(server.requests).toEqual([]);
    },
  );

  it('openDownload: refuses what the resolver of this machine says is here', async () => {
    const prefix = `https://localhost:${server.port}/`;
    const options = { allowedPrefixes: [parsePrefix(prefix)], allowPrivateAddresses: false };
    await expect(open(`${prefix}a`, options)).rejects.toThrow(failure('refused', 'no address of the public'));
  });

  it('openDownload: connects to the address that was looked at, and resolves a name once', async () => {
    server.answers.set('/files/a', content('hello'));
    const [url, options] = byName('127.0.0.1');
    let turns = 0;
    const resolve: DownloadOptions['resolve'] = async () => {
      turns++;
      return [{ address: turns === 1 ? '127.0.0.1' : '192.0.2.1', family: 4 }];
    };
    expect(String(await fetched(url, { ...options, resolve }))).toBe('hello');
    expect(turns).toBe(1);
    expect(server.requests).toEqual([`GET /files/a files.example:${server.port}`]);
  });

  it.each([
    ['no address', async () => []],
    ['an error', async () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' }))],
  ])('openDownload: fails for a name that has %s', async (_, resolve) => {
    const [url, options] = byName();
    await expect(open(url, { ...options, resolve })).rejects.toThrow(failure('failed', "can't be reached"));
  });

  it('openDownload: does not trust a certificate of an unknown authority, or for another name', async () => {
    server.answers.set('/files/a', content('hello'));
    await expect(open('/files/a', { secureContext: trust('') })).rejects.toThrow(
      failure('failed', /not trusted: DEPTH_ZERO_SELF_SIGNED_CERT.*--download-ca-file/),
    );
    const allowedPrefixes = [parsePrefix(`https://other.example:${server.port}/`)];
    const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
    await expect(open(`https://other.example:${server.port}/a`, { allowedPrefixes, resolve })).rejects.toThrow(
      failure('failed', 'ERR_TLS_CERT_ALTNAME_INVALID'),
    );
    expect(server.requests).toEqual([]);
  });

  it('openDownload: fails where nobody listens, and where no https is spoken', async () => {
    const plain = createServer((_request, response) => void response.end('plain'));
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void plain.close());
    const { port } = plain.address() as AddressInfo;
    for (const url of [`https://127.0.0.1:${port}/files/a`, 'https://127.0.0.1:1/files/a']) {
      await expect(open(url, { allowedPrefixes: [parsePrefix(url)] })).rejects.toThrow(
        failure('failed', "can't be reached, or does not speak https"),
      );
    }
  });

  it('openDownload: heeds neither a proxy nor switched-off checks of the environment', async () => {
    server.answers.set('/files/a', content('hello'));
    const script = `
      const { openDownload } = await import(${JSON.stringify(import.meta.resolve('../../../src/net/download.ts'))});
      const url = new URL(${JSON.stringify(`${server.url}/files/a`)});
      await openDownload(url.href, { allowedPrefixes: [url], maxBytes: 9, idleMs: 5000, allowPrivateAddresses: true }, new AbortController().signal)
        .then(() => console.log('taken'), (error) => console.log(error.message));`;
    const env = {
      PATH: process.env.PATH,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_USE_ENV_PROXY: '1',
      HTTPS_PROXY: 'http://127.0.0.1:1',
      https_proxy: 'http://127.0.0.1:1',
    };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], { env });
    expect(stdout).toContain('not trusted: DEPTH_ZERO_SELF_SIGNED_CERT');
  });
});
