import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, test, vi } from 'vitest';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import { ApiError } from '../../../src/kube/errors.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import { namespaceType } from '../../../src/kube/resource-types.ts';
import { createTransport, type RequestReport, type Transport } from '../../../src/kube/transport.ts';
import {
  type MisbehavingServer,
  refuse,
  reset,
  respond,
  silence,
  startMisbehavingServer,
} from '../../fakes/misbehaving-server.ts';

let server: MisbehavingServer;
let transport: Transport;
let reports: RequestReport[];

beforeEach(async () => {
  server = await startMisbehavingServer();
  reports = [];
  transport = createTransport(loadKubeConfig({ kubeconfigPath: server.kubeconfigPath }), {
    userAgent: 'btrfs-operator/test',
    onRequest: (report) => reports.push(report),
  });
});

afterEach(async () => {
  await transport.close();
  await server[Symbol.asyncDispose]();
});

const get = (options: { signal?: AbortSignal; timeoutMs?: number } = {}) =>
  transport.request({ method: 'GET', path: '/api/v1/nodes/a', ...options });

async function failureOf(promise: Promise<unknown>): Promise<ApiError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
}

describe('loadKubeConfig', () => {
  test('names the file it cannot load', () => {
    expect(() => loadKubeConfig({ kubeconfigPath: '/nowhere/kubeconfig' })).toThrow(
      'kubeconfig "/nowhere/kubeconfig" can\'t be loaded',
    );
  });

  test('throws outside a pod when no path is given', () => {
    expect(() => loadKubeConfig()).toThrow('not running in a pod');
  });
});

describe('Transport connections', () => {
  test('200 requests one after another use two connections at most', async () => {
    server.script(respond({}));
    for (let i = 0; i < 200; i++) await get();
    expect(server.connections).toBeLessThanOrEqual(2);
  });

  test('200 requests at once use 8 connections at most', async () => {
    server.script(respond({}));
    await Promise.all(Array.from({ length: 200 }, () => get()));
    expect(server.connections).toBeLessThanOrEqual(8);
  });

  test('watches do not take the connections of requests', async () => {
    server.script((response, request) => {
      if (request.query.has('watch')) response.writeHead(200).flushHeaders();
      else response.end('{}');
    });
    const watches = new AbortController();
    const options = { query: { watch: 1 }, signal: watches.signal };
    await Promise.all(Array.from({ length: 20 }, () => transport.stream('/api/v1/nodes', options)));
    await expect(get({ timeoutMs: 2_000 })).resolves.toEqual({});
    watches.abort();
  });

  test('token and user agent are sent', async () => {
    server.script(respond({}));
    await get();
    expect(server.received[0]?.headers).toMatchObject({
      authorization: 'Bearer secret',
      'user-agent': 'btrfs-operator/test',
      accept: 'application/json',
    });
  });

  test('a token file that changed is taken over within a minute, or after a 401', async () => {
    server.script(refuse(401), respond({}));
    expect(await failureOf(get())).toMatchObject({ code: 401 });
    await writeFile(path.join(server.dir, 'token'), 'renewed');
    // The kubeconfig's reader keeps a token for 60 s of wall-clock time.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 });
    await get().finally(() => vi.useRealTimers());
    expect(server.received.map(({ headers }) => headers.authorization)).toEqual(['Bearer secret', 'Bearer renewed']);
  });

  test('a certificate that the CA does not vouch for is refused', async () => {
    await server.rotateCertificate();
    expect((await failureOf(get())).message).toMatch(/no connection to the API server \(.*SIGN.*\)/);
    expect(server.received).toHaveLength(0);
  });

  test('a CA file that changed is taken over with a new pool', async () => {
    // A 401 makes the transport read its files again at once.
    server.script(refuse(401), respond({}));
    expect(await failureOf(get())).toMatchObject({ code: 401 });
    await server.rotateCertificate();
    await server.publishCertificate();
    await expect(get()).resolves.toEqual({});
    expect(server.connections).toBe(2);
  });

  test('credentials that cannot be read are an ApiError', async () => {
    await writeFile(path.join(server.dir, 'ca.crt'), 'no certificate');
    server.script(respond({}));
    expect(await failureOf(get())).toMatchObject({ code: 0 });
  });
});

describe('Transport failures', () => {
  test('a Status becomes an ApiError that holds its code, reason and message and no body', async () => {
    server.script(refuse(404, { reason: 'NotFound', message: 'nodes "a"\nnot found' }));
    expect(await failureOf(get())).toMatchObject({
      code: 404,
      reason: 'NotFound',
      message: 'GET /api/v1/nodes/a: nodes "a" not found',
    });
  });

  test('an answer that is no Status is named by its code alone', async () => {
    server.script((response) => void response.writeHead(502).end('<html>secret</html>'));
    expect((await failureOf(get())).message).toBe('GET /api/v1/nodes/a: HTTP 502 Unknown');
  });

  test('a server that never answers is a Timeout', async () => {
    server.script(silence());
    expect(await failureOf(get({ timeoutMs: 100 }))).toMatchObject({
      code: 0,
      reason: 'Timeout',
      message: 'GET /api/v1/nodes/a: no answer within 0.1 s',
    });
    expect(server.received).toHaveLength(1);
  });

  test('a body that stops is a Timeout', async () => {
    server.script((response) => void response.writeHead(200).write('{"kind":'));
    expect(await failureOf(get({ timeoutMs: 100 }))).toMatchObject({ code: 0, reason: 'Timeout' });
  });

  test("the caller's signal ends a request with its reason", async () => {
    server.script(silence());
    const reason = new Error('superseded');
    await expect(get({ signal: abortedAfter(50, reason) })).rejects.toBe(reason);
  });

  test("the caller's signal ends the wait for Retry-After", async () => {
    server.script(refuse(429, { retryAfterS: 20 }));
    const reason = new Error('superseded');
    await expect(get({ signal: abortedAfter(50, reason) })).rejects.toBe(reason);
    expect(server.received).toHaveLength(1);
  });

  test('a GET whose connection broke is sent once more', async () => {
    server.script(reset(), respond({ ok: true }));
    await expect(get()).resolves.toEqual({ ok: true });
  });

  test('a POST whose connection broke is not sent again', async () => {
    server.script(reset(), respond({ ok: true }));
    const error = await failureOf(transport.request({ method: 'POST', path: '/api/v1/nodes', body: {} }));
    expect(error).toMatchObject({ code: 0, reason: 'Unreachable' });
    expect(server.received).toHaveLength(1);
  });

  test.each([429, 503])('%i with Retry-After is tried again, not before that time', async (code) => {
    server.script(refuse(code, { retryAfterS: 1 }), respond({ ok: true }));
    await expect(get()).resolves.toEqual({ ok: true });
    const [first, second] = server.received;
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(995);
  });

  test('429 is tried again three times, then it stands', async () => {
    server.script(refuse(429, { retryAfterS: 0 }));
    expect(await failureOf(get())).toMatchObject({ code: 429, reason: 'TooManyRequests', retryAfterMs: 0 });
    expect(server.received).toHaveLength(4);
  });

  test('503 without Retry-After and 429 to a POST stand at once', async () => {
    server.script(refuse(503), refuse(429, { retryAfterS: 0 }));
    expect(await failureOf(get())).toMatchObject({ code: 503 });
    expect(await failureOf(transport.request({ method: 'POST', path: '/', body: {} }))).toMatchObject({ code: 429 });
    expect(server.received).toHaveLength(2);
  });

  test('onRequest is told of every try, 0 for none that was answered', async () => {
    server.script(respond({}), refuse(404), reset());
    await get();
    await failureOf(get());
    await failureOf(get());
    expect(reports.map(({ method, code }) => `${method} ${code}`)).toEqual(['GET 200', 'GET 404', 'GET 0', 'GET 0']);
    expect(reports.every(({ durationMs }) => durationMs >= 0)).toBe(true);
  });
});

describe('ResourceClient content types', () => {
  const namespace = { metadata: { name: 'a' } };
  const answer = { kind: 'Namespace', apiVersion: 'v1', metadata: { name: 'a', uid: 'u', resourceVersion: '1' } };

  test('each kind of patch is sent with its own', async () => {
    server.script(respond(answer));
    const namespaces = createResourceClient(transport, namespaceType);
    await namespaces.apply(namespace, { fieldManager: 'm' });
    await namespaces.applyStatus(namespace, { fieldManager: 'm', force: false });
    await namespaces.patch('a', {}, { type: 'merge' });
    await namespaces.patch('a', [], { type: 'json', subresource: 'status' });
    await namespaces.create(namespace);
    const sent = server.received.map((r) => `${r.path}?${r.query} ${r.headers['content-type']}`);
    expect(sent).toEqual([
      '/api/v1/namespaces/a?fieldManager=m&force=true application/apply-patch+yaml',
      '/api/v1/namespaces/a/status?fieldManager=m&force=false application/apply-patch+yaml',
      '/api/v1/namespaces/a? application/merge-patch+json',
      '/api/v1/namespaces/a/status? application/json-patch+json',
      '/api/v1/namespaces? application/json',
    ]);
    expect(JSON.parse(server.received[0]?.body ?? '')).toEqual({ ...namespace, apiVersion: 'v1', kind: 'Namespace' });
  });

  test('a list whose continue token expired is read in one piece', async () => {
    const page = { items: [answer], metadata: { resourceVersion: '1', continue: 'more' } };
    const whole = { items: [answer, answer], metadata: { resourceVersion: '2' } };
    server.script(respond(page), refuse(410, { reason: 'Expired' }), respond(whole));
    await expect(createResourceClient(transport, namespaceType).list()).resolves.toHaveLength(2);
    expect(server.received.map((r) => r.query.get('limit'))).toEqual(['500', '500', null]);
  });
});

describe('Transport with a real API server', () => {
  test('200 requests at once use 8 connections at most and all succeed', async () => {
    const real = createTransport(loadKubeConfig({ kubeconfigPath: inject('kubeconfigPath') }), { userAgent: 'test' });
    const namespaces = createResourceClient(real, namespaceType);
    const found = await Promise.all(Array.from({ length: 200 }, () => namespaces.get('default')));
    expect(found.every((namespace) => namespace?.metadata.name === 'default')).toBe(true);
    await expect(namespaces.get('no-such-namespace')).resolves.toBeUndefined();
    await real.close();
  });
});

function abortedAfter(ms: number, reason: Error): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), ms);
  return controller.signal;
}
