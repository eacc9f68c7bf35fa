import { afterEach, describe, expect, it } from 'vitest';
import { type RunningServer, startHealthServer, startMetricsServer } from '../../../src/net/server.ts';

const servers: RunningServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function started(server: Promise<RunningServer>): Promise<RunningServer> {
  servers.push(await server);
  return await server;
}

async function get(url: string, init: RequestInit = {}) {
  const response = await fetch(url, init);
  return { code: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

describe('startHealthServer', () => {
  it('is alive from the start and ready when every check holds', async () => {
    let missing: string | undefined = 'listing';
    const ready = [
      { name: 'caches', check: () => missing },
      { name: 'lease', check: () => undefined },
    ];
    const { url } = await started(startHealthServer({ address: '127.0.0.1:0', ready }));
    expect(await get(`${url}/healthz`)).toMatchObject({ code: 200, text: 'ok\n' });
    expect(await get(`${url}/readyz`)).toMatchObject({ code: 503, text: '[-] caches: listing\n[+] lease\nnot ok\n' });
    missing = undefined;
    expect(await get(`${url}/readyz?verbose`)).toMatchObject({ code: 200, text: '[+] caches\n[+] lease\nok\n' });
  });

  it('is not alive when a liveness check fails', async () => {
    const live = [{ name: 'queue', check: () => 'stuck' }];
    const { url } = await started(startHealthServer({ address: '127.0.0.1:0', ready: [], live }));
    expect(await get(`${url}/healthz`)).toMatchObject({ code: 503, text: '[-] queue: stuck\nnot ok\n' });
  });

  it('answers 500 and lives on when a check throws', async () => {
    const ready = [
      {
        name: 'broken',
        check: () => {
          throw new Error('x');
        },
      },
    ];
    const { url } = await started(startHealthServer({ address: '127.0.0.1:0', ready }));
    expect(await get(`${url}/readyz`)).toMatchObject({ code: 500 });
    expect(await get(`${url}/healthz`)).toMatchObject({ code: 200 });
  });

  it.each([
    ['another path', '/', 'GET', 404],
    ['a property every object has', '/constructor', 'GET', 404],
    ['another method', '/healthz', 'POST', 405],
  ])('refuses %s', async (_, path, method, code) => {
    const { url } = await started(startHealthServer({ address: '127.0.0.1:0', ready: [] }));
    expect(await get(url + path, { method })).toMatchObject({ code });
  });

  it.each(['127.0.0.1:0', 'localhost:0', ':0', '[::]:0'])('listens on "%s" and says where', async (address) => {
    const { url } = await started(startHealthServer({ address, ready: [] }));
    expect(url).not.toMatch(/:0$/);
    expect(await get(`${url}/healthz`)).toMatchObject({ code: 200 });
  });

  it('names the address that is taken', async () => {
    const { url } = await started(startHealthServer({ address: '127.0.0.1:0', ready: [] }));
    const address = url.replace('http://', '');
    await expect(startHealthServer({ address, ready: [] })).rejects.toThrow(`can't listen on "${address}"`);
  });

  it('close ends a connection that is kept open', async () => {
    const server = await startHealthServer({ address: '127.0.0.1:0', ready: [] });
    await get(`${server.url}/healthz`);
    await server.close();
    await expect(get(`${server.url}/healthz`)).rejects.toThrow();
  });
});

describe('startMetricsServer', () => {
  it('serves what the source has to say', async () => {
    const source = { contentType: 'text/x-metrics', metrics: async () => 'a 1\n' };
    const { url } = await started(startMetricsServer('127.0.0.1:0', source));
    expect(await get(`${url}/metrics`)).toEqual({ code: 200, type: 'text/x-metrics', text: 'a 1\n' });
  });
});
