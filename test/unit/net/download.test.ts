import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { content, redirect } from '../../builders/download-server.ts';
import { type Downloads, failure, IDLE_MS, startDownloads } from './downloads.ts';

let server: Downloads['server'];
let open: Downloads['open'];
let fetched: Downloads['fetched'];

beforeAll(async () => {
  ({ server, open, fetched } = await startDownloads());
});
afterAll(() => server?.[Symbol.asyncDispose]());
beforeEach(() => {
  server.answers.clear();
  server.requests.length = 0;
});

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
    await expect(open('/files/a', { idleMs: IDLE_MS })).rejects.toThrow(failure('failed', 'no answer within 0.3 s'));
    server.answers.set('/files/a', (_request, response) => void response.write('half'));
    await expect(fetched('/files/a', { idleMs: IDLE_MS })).rejects.toThrow(
      failure('failed', /(nothing came for|no answer within) 0\.3 s/),
    );
  });

  it('openDownload: waits for a reader that is slower than the server', async () => {
    const body = Buffer.alloc(4 * 2 ** 20, 7);
    server.answers.set('/files/a', content(body));
    const { stream } = await open('/files/a', { maxBytes: body.length, idleMs: 1500 });
    await new Promise((resolve) => setTimeout(resolve, 2500));
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
