import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { type DownloadOptions, openDownload } from '../../../src/net/download.ts';
import { parsePrefix } from '../../../src/net/download-url.ts';
import { createTrust } from '../../../src/net/trusted-authorities.ts';
import { content, type DownloadServer, redirect, startDownloadServer } from '../../builders/download-server.ts';

const IDLE_MS = 300;
const trust = createTrust();
let server: DownloadServer;

beforeAll(async () => {
  server = await startDownloadServer();
});
afterAll(() => server?.[Symbol.asyncDispose]());
beforeEach(() => {
  server.answers.clear();
  server.requests.length = 0;
});

const open = (path: string, changes: Partial<DownloadOptions> = {}, signal = new AbortController().signal) =>
  openDownload(
    path.startsWith('/') ? `${server.url}${path}` : path,
    {
      allowedPrefixes: [parsePrefix(`${server.url}/files`)],
      maxBytes: 1000,
      idleMs: IDLE_MS,
      secureContext: trust(server.caPem),
      allowPrivateAddresses: true,
      ...changes,
    },
    signal,
  );
const fetched = async (...args: Parameters<typeof open>) => await buffer((await open(...args)).stream);
const failure = (code: 'refused' | 'failed', message: string | RegExp) =>
  expect.objectContaining({
    name: 'DownloadError',
    code,
    message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
  });
/** The same server by a name, which resolves to these addresses. */
const byName = (...addresses: string[]): [string, Partial<DownloadOptions>] => [
  `https://files.example:${server.port}/files/a`,
  {
    allowedPrefixes: [parsePrefix(`https://files.example:${server.port}/`)],
    resolve: async () => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
  },
];

describe('openDownload', () => {
  it('openDownload: gives the bytes and their number, by a plain GET without anything of this machine', async () => {
    let headers: unknown;
    server.answers.set('/files/a', (request, response) => {
      headers = request.headers;
      content('hello')(request, response);
    });
    const { stream, totalBytes } = await open('/files/a?token=x');
    expect(totalBytes).toBe(5);
    expect(String(await buffer(stream))).toBe('hello');
    expect(server.requests).toEqual([`GET /files/a?token=x 127.0.0.1:${server.port}`]);
    expect(headers).toEqual({
      host: `127.0.0.1:${server.port}`,
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': 'btrfs-operator',
      connection: 'close',
    });
  });

  it('openDownload: takes what comes without a length', async () => {
    server.answers.set('/files/a', (_request, response) => void response.write('hel', () => response.end('lo')));
    expect(String(await fetched('/files/a'))).toBe('hello');
    expect((await open('/files/a')).totalBytes).toBeUndefined();
  });

  it('openDownload: follows redirects under the list, five at most', async () => {
    server.answers.set('/files/6', redirect('5'));
    server.answers.set('/files/5', redirect('/files/4', 301));
    server.answers.set('/files/4', redirect(`${server.url}/files/3`, 303));
    server.answers.set('/files/3', redirect('./x/../2', 307));
    server.answers.set('/files/2', redirect('1', 308));
    server.answers.set('/files/1', content('there'));
    expect(String(await fetched('/files/6'))).toBe('there');
    server.answers.set('/files/7', redirect('6'));
    await expect(open('/files/7')).rejects.toThrow(failure('failed', 'redirects more than 5 times'));
  });

  it('openDownload: does not follow a redirect for ever', async () => {
    server.answers.set('/files/a', redirect('a'));
    await expect(open('/files/a')).rejects.toThrow(failure('failed', 'redirects more than 5 times'));
    expect(server.requests).toHaveLength(6);
  });

  it.each([
    ['/secret', 'is under none of the addresses'],
    ['../secret', 'is under none of the addresses'],
    ['https://evil.example/files/a', 'is under none of the addresses'],
    ['//evil.example/files/a', 'is under none of the addresses'],
    ['http://127.0.0.1/files/a', 'is not https'],
    ['file:///etc/shadow', 'is not https'],
    ['..%2fsecret', 'encoded slashes'],
    ['https://u:p@127.0.0.1/files/a', 'a user or a password'],
    ['https://', 'it is no URL'],
  ])('openDownload: refuses a redirect to %s, and says from where', async (location, message) => {
    server.answers.set('/files/a', redirect(location));
    await expect(open('/files/a')).rejects.toThrow(failure('refused', message));
    await expect(open('/files/a')).rejects.toThrow(`${server.url}/files/a redirects there`);
    expect(server.requests.every((request) => request.startsWith('GET /files/a'))).toBe(true);
  });

  it.each([
    [404, 'HTTP 404'],
    [403, 'HTTP 403'],
    [500, 'HTTP 500'],
    [204, 'HTTP 204'],
    [206, 'HTTP 206'],
    [304, 'HTTP 304'],
    [302, 'without saying where to'],
  ])('openDownload: fails for status %i', async (status, message) => {
    server.answers.set('/files/a', (_request, response) => void response.writeHead(status).end());
    await expect(open('/files/a?s3cret')).rejects.toThrow(failure('failed', message));
    await expect(open('/files/a?s3cret')).rejects.not.toThrow(/s3cret/);
  });

  it('openDownload: takes no compressed content', async () => {
    server.answers.set('/files/a', (_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('x'));
    });
    await expect(open('/files/a')).rejects.toThrow(failure('failed', 'compressed content'));
  });

  it.each(['https://evil.example/files/a', 'http://127.0.0.1/files/a'])('openDownload: refuses %s', async (url) => {
    await expect(open(url)).rejects.toThrow(failure('refused', 'could not download'));
  });
});

describe('openDownload: size and time', () => {
  it('openDownload: refuses what says that it is too large, before it reads it', async () => {
    server.answers.set('/files/a', content('x'.repeat(1001)));
    await expect(open('/files/a')).rejects.toThrow(failure('refused', 'larger than 1000 bytes'));
    server.answers.set('/files/a', content('x'.repeat(1000)));
    expect(await fetched('/files/a')).toHaveLength(1000);
  });

  it('openDownload: stops at what turns out to be too large', async () => {
    server.answers.set('/files/a', (_request, response) => {
      for (let i = 0; i < 20; i++) response.write('x'.repeat(100));
      response.end();
    });
    await expect(fetched('/files/a')).rejects.toThrow(failure('refused', 'larger than 1000 bytes'));
  });

  it('openDownload: notices what was cut, with a length and without', async () => {
    server.answers.set('/files/a', (request, response) => {
      response.writeHead(200, request.url?.endsWith('?l') ? { 'content-length': 10 } : {});
      response.write('half', () => response.destroy());
    });
    await expect(fetched('/files/a?l')).rejects.toThrow(failure('failed', 'cut before the end'));
    await expect(fetched('/files/a')).rejects.toThrow(failure('failed', 'cut before the end'));
  });

  it('openDownload: gives up a server that does not answer, and one that stops in the middle', async () => {
    server.answers.set('/files/a', () => undefined);
    await expect(open('/files/a')).rejects.toThrow(failure('failed', 'no answer within 0.3 s'));
    server.answers.set('/files/a', (_request, response) => void response.write('half'));
    await expect(fetched('/files/a')).rejects.toThrow(failure('failed', 'nothing came for 0.3 s'));
  });

  it('openDownload: waits for a reader that is slower than the server', async () => {
    const body = Buffer.alloc(4 * 2 ** 20, 7);
    server.answers.set('/files/a', content(body));
    const { stream } = await open('/files/a', { maxBytes: body.length });
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS * 3));
    expect((await buffer(stream)).equals(body)).toBe(true);
  });

  it('openDownload: ends with the signal, before and after the answer', async () => {
    server.answers.set('/files/slow', () => undefined);
    server.answers.set('/files/a', (_request, response) => void response.write('half'));
    for (const path of ['/files/slow', '/files/a']) {
      const abort = new AbortController();
      setTimeout(() => abort.abort(new Error('enough')), 50);
      await expect(fetched(path, { idleMs: 10_000 }, abort.signal)).rejects.toThrow('enough');
    }
  });

  it('openDownload: refuses endless headers', async () => {
    server.answers.set('/files/a', (_request, response) => {
      response.writeHead(200, Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x-${i}`, 'y'.repeat(1000)])));
      response.end('x');
    });
    await expect(open('/files/a')).rejects.toThrow(failure('failed', 'HPE_HEADER_OVERFLOW'));
  });
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
