import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import type { KubeObject } from '../../../src/kube/object.ts';
import type { Change } from '../../../src/kube/object-store.ts';
import { type Reflector, startReflector } from '../../../src/kube/reflector.ts';
import type { ResourceType } from '../../../src/kube/resource-type.ts';
import { createTransport, type Transport } from '../../../src/kube/transport.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import {
  type Answer,
  type MisbehavingServer,
  refuse,
  reset,
  respond,
  silence,
  startMisbehavingServer,
  stream,
} from '../../fakes/misbehaving-server.ts';
import { createRecordedLog } from './recorded-log.ts';

interface Thing extends KubeObject {
  readonly spec: { readonly size: number };
}

const thingType: ResourceType<Thing> = {
  apiVersion: 'example.com/v1',
  kind: 'Thing',
  plural: 'things',
  namespaced: true,
  parse(raw) {
    if (typeof (raw as Thing).spec.size !== 'number') throw new Error('size is no number');
    return raw as Thing;
  },
};

/** As the server sends it; `version` also tells changes of one object apart. */
function thing(name: string, version: number, uid = `uid-${name}`, size: unknown = version) {
  const metadata = { name, namespace: 'ns', uid, resourceVersion: String(version), managedFields: [{ manager: 'm' }] };
  return { apiVersion: 'example.com/v1', kind: 'Thing', metadata, spec: { size } };
}

const added = (...args: Parameters<typeof thing>) => ({ type: 'ADDED', object: thing(...args) });
const modified = (...args: Parameters<typeof thing>) => ({ type: 'MODIFIED', object: thing(...args) });
const deleted = (...args: Parameters<typeof thing>) => ({ type: 'DELETED', object: thing(...args) });
const bookmark = (version: number) => ({
  type: 'BOOKMARK',
  object: { kind: 'Thing', metadata: { resourceVersion: String(version) } },
});
const listEnd = (version: number) => ({
  type: 'BOOKMARK',
  object: {
    kind: 'Thing',
    metadata: { resourceVersion: String(version), annotations: { 'k8s.io/initial-events-end': 'true' } },
  },
});
const inStreamError = (code: number) => ({
  type: 'ERROR',
  object: { kind: 'Status', code, reason: code === 410 ? 'Expired' : 'InternalError', message: 'no' },
});
/** A streaming list of these objects that goes on as a quiet watch. */
const listed = (version: number, ...events: unknown[]) => stream([...events, listEnd(version)]);

let server: MisbehavingServer;
let transport: Transport;
let reflector: Reflector<Thing> | undefined;
let changes: string[];
let recorded: ReturnType<typeof createRecordedLog>;

beforeEach(async () => {
  server = await startMisbehavingServer();
  transport = createTransport(loadKubeConfig({ kubeconfigPath: server.kubeconfigPath }), { userAgent: 'test' });
  changes = [];
  recorded = createRecordedLog();
});

afterEach(async () => {
  await reflector?.stop();
  await transport.close();
  await server[Symbol.asyncDispose]();
});

function describeChange({ kind, object }: Change<Thing>): string {
  return `${kind} ${object.metadata.name} ${object.metadata.uid} ${object.spec.size}`;
}

function start(onChange?: (change: Change<Thing>) => unknown, inactivityMs = 300): Reflector<Thing> {
  reflector = startReflector({
    transport,
    type: thingType,
    log: recorded.log,
    timings: { inactivityMs, minBackoffMs: 20, maxBackoffMs: 100, maxEarlyCloseMs: 50 },
    onChange: (change) => {
      changes.push(describeChange(change));
      return onChange?.(change) as undefined;
    },
  });
  return reflector;
}

const changesUntil = (last: string) =>
  waitFor(() => changes.at(-1) === last, { what: `change "${last}", only ${JSON.stringify(changes)}`, everyMs: 5 });
const requestCount = (count: number) =>
  waitFor(() => server.received.length >= count, { what: `request number ${count}`, everyMs: 5 });
/** The version each watch went on from; `list` for a streaming list. */
const origins = () => server.received.map(({ query }) => query.get('resourceVersion') ?? 'list');

describe('Reflector, first list', () => {
  test('a streaming list and its changes arrive without managedFields', async () => {
    server.script(stream([added('a', 1), added('b', 2), listEnd(5), modified('a', 6), deleted('b', 7), bookmark(9)]));
    const things = start();
    await things.synced();
    await changesUntil('deleted b uid-b 7');
    expect(changes).toEqual(['added a uid-a 1', 'added b uid-b 2', 'updated a uid-a 6', 'deleted b uid-b 7']);
    expect([...things.values()]).toEqual([things.get('ns/a')]);
    expect(things.get('ns/a')?.metadata).not.toHaveProperty('managedFields');
    const query = Object.fromEntries(server.received[0]?.query ?? []);
    expect(query).toMatchObject({ watch: '1', allowWatchBookmarks: 'true', sendInitialEvents: 'true' });
    expect(query).toMatchObject({ resourceVersionMatch: 'NotOlderThan' });
    expect(Number(query.timeoutSeconds)).toBeGreaterThanOrEqual(240);
    expect(Number(query.timeoutSeconds)).toBeLessThanOrEqual(360);
  });

  const failures: ReadonlyArray<readonly [string, Answer]> = [
    ['500', refuse(500)],
    ['401', refuse(401)],
    ['404 (the kind is not there yet)', refuse(404)],
    ['a reset', reset()],
    ['silence', silence()],
    ['a stream cut before the list ended', stream([added('a', 1)], 'reset')],
    ['a stream closed before the list ended', stream([added('a', 1)], 'close')],
  ];
  test.each(failures)('%s: it lists again until it has synced', async (_name, failure) => {
    server.script(failure, failure, listed(5, added('a', 1)));
    const things = start();
    expect(things.hasSynced).toBe(false);
    await things.synced();
    expect(things.hasSynced).toBe(true);
    expect(changes).toEqual(['added a uid-a 1']);
    expect(origins()).toEqual(['list', 'list', 'list']);
  });

  test('synced ends with the signal, and with the reflector', async () => {
    server.script(silence());
    const things = start();
    const reason = new Error('enough');
    await expect(things.synced(AbortSignal.abort(reason))).rejects.toBe(reason);
    const waiting = expect(things.synced()).rejects.toThrow('the reflector of things is stopped');
    await things.stop();
    await waiting;
  });
});

describe('Reflector, paged list', () => {
  const page = (version: number, token: string, ...items: unknown[]) =>
    respond({ items, metadata: { resourceVersion: String(version), continue: token } });

  test.each([400, 422])('a server that answers %i to a streaming list is listed in pages', async (code) => {
    const pages = [page(4, 't1', thing('a', 1)), page(4, '', thing('b', 2))];
    server.script(refuse(code), ...pages, stream([modified('a', 6)]));
    const things = start();
    await changesUntil('updated a uid-a 6');
    expect(things.hasSynced).toBe(true);
    expect(changes).toEqual(['added a uid-a 1', 'added b uid-b 2', 'updated a uid-a 6']);
    const asked = server.received.slice(1).map(({ query }) => [query.get('limit'), query.get('continue')]);
    expect(asked.slice(0, 2)).toEqual([
      ['500', null],
      ['500', 't1'],
    ]);
    expect(origins().at(-1)).toBe('4');
  });

  test('410 in the middle of paging: the whole list in one piece', async () => {
    const whole = page(9, '', thing('a', 1), thing('c', 3));
    server.script(refuse(422), page(4, 't1', thing('a', 1), thing('b', 2)), refuse(410), whole, stream([]));
    const things = start();
    await things.synced();
    expect(changes).toEqual(['added a uid-a 1', 'added b uid-b 2', 'added c uid-c 3', 'deleted b uid-b 2']);
    expect(server.received[3]?.query.has('limit')).toBe(false);
  });

  test('items without apiVersion and kind get both', async () => {
    const { apiVersion: _, kind: __, ...bare } = thing('a', 1);
    server.script(refuse(422), page(4, '', bare), stream([]));
    const things = start();
    await things.synced();
    expect(things.get('ns/a')).toMatchObject({ apiVersion: 'example.com/v1', kind: 'Thing' });
  });
});

describe('Reflector, broken watch', () => {
  const watches: ReadonlyArray<readonly [string, Answer]> = [
    ['a connection reset', stream([], 'reset')],
    ['a reset before the answer', reset()],
    ['an early close', stream([], 'close')],
    ['silence', stream([])],
    ['401', refuse(401)],
    ['429', refuse(429)],
    ['503', refuse(503)],
    ['an in-stream 500', stream([inStreamError(500)])],
  ];
  test.each(watches)('%s: it goes on from the last version', async (_name, broken) => {
    const first = stream([added('a', 1), listEnd(5), bookmark(7)], 'close');
    server.script(first, broken, broken, broken, stream([modified('a', 8)]));
    start();
    await changesUntil('updated a uid-a 8');
    expect(changes).toEqual(['added a uid-a 1', 'updated a uid-a 8']);
    expect(origins().slice(0, 5)).toEqual(['list', '7', '7', '7', '7']);
  });

  const expired: ReadonlyArray<readonly [string, Answer]> = [
    ['HTTP 410', refuse(410)],
    ['an in-stream 410, stream closed', stream([inStreamError(410)], 'close')],
    ['an in-stream 410, stream kept open', stream([inStreamError(410)])],
    ['504 (a version from the future)', refuse(504)],
    ['a line that is no JSON', (response) => void response.writeHead(200).write('{"type":\n')],
    ['a line that is no event', stream([{ type: 'NEWS' }])],
  ];
  test.each(expired)('%s: it lists again and tells what went and came meanwhile', async (_name, broken) => {
    const second = listed(20, added('a', 1), added('b', 12), added('c', 13, 'uid-c2'), added('e', 14));
    const first = stream([added('a', 1), added('b', 2), added('c', 3), added('d', 4), listEnd(5)], 'close');
    server.script(first, broken, second);
    start();
    await changesUntil('deleted d uid-d 4');
    expect(changes.slice(4)).toEqual([
      'updated b uid-b 12',
      'deleted c uid-c 3',
      'added c uid-c2 13',
      'added e uid-e 14',
      'deleted d uid-d 4',
    ]);
    expect(origins()).toEqual(['list', '5', 'list']);
  });

  test('Retry-After on the watch is honoured', async () => {
    server.script(stream([listEnd(5)], 'close'), refuse(429, { retryAfterS: 1 }), stream([added('a', 6)]));
    start();
    await changesUntil('added a uid-a 6');
    const [, second, third] = server.received;
    expect((third?.atMs ?? 0) - (second?.atMs ?? 0)).toBeGreaterThanOrEqual(995);
  });

  test.each([
    ['a long Retry-After', refuse(503, { retryAfterS: 3_600 })],
    ['silence on a connection that died', silence()],
  ])('F51 after %s: what the return of the server tells is acted on at once', async (_, answer) => {
    server.script(stream([listEnd(5)], 'close'), answer, stream([added('a', 6)]));
    start(undefined, 60_000);
    await requestCount(2);
    await waitFor(() => recorded.lines.length > 0 || server.openConnections > 0, { what: 'failure or silence' });
    transport.reconnect();
    await changesUntil('added a uid-a 6');
  });

  test('a server that is gone for long is asked at growing intervals, and found again', async () => {
    server.script(stream([listEnd(5)], 'close'), ...Array.from({ length: 6 }, reset), stream([added('a', 6)]));
    start();
    await changesUntil('added a uid-a 6');
    const gaps = server.received.slice(2).map((request, i) => request.atMs - (server.received[i + 1]?.atMs ?? 0));
    expect(Math.min(...gaps.slice(3))).toBeGreaterThanOrEqual(49);
    expect(recorded.lines.filter(({ msg }) => msg === 'watch failed')).toHaveLength(6);
  });

  test('410 over and over does not become a loop without pauses', async () => {
    server.script(stream([listEnd(5), inStreamError(410)]));
    start();
    await requestCount(4);
    const [, second, third, fourth] = server.received.map(({ atMs }) => atMs);
    expect((third ?? 0) - (second ?? 0)).toBeGreaterThanOrEqual(19);
    expect((fourth ?? 0) - (third ?? 0)).toBeGreaterThanOrEqual(19);
  });

  test('a watch that is left leaves no connection behind', async () => {
    const left = stream([added('a', 1), listEnd(5), inStreamError(410)]);
    server.script(left, left, left, left, listed(9, added('a', 1)));
    start();
    await requestCount(5);
    await waitFor(() => server.openConnections === 1, { what: 'only connection' });
  });

  test('any byte keeps a watch alive', async () => {
    server.script((response) => {
      response.writeHead(200).write(`${JSON.stringify(listEnd(5))}\n`);
      // Half a line, so that no event comes of it.
      const timer = setInterval(() => response.write('{'), 100);
      response.on('close', () => clearInterval(timer));
    });
    const things = start();
    await things.synced();
    await new Promise((resolve) => setTimeout(resolve, 900));
    expect(server.received).toHaveLength(1);
    expect(things.idleMs).toBeLessThan(300);
    expect(Date.now() - things.lastActivityAt.getTime()).toBeLessThan(300);
  });

  test('stop ends an open watch, and nothing is reported after it', async () => {
    server.script(listed(5, added('a', 1)));
    const things = start();
    await things.synced();
    await things.stop();
    expect(server.received).toHaveLength(1);
    expect(changes).toEqual(['added a uid-a 1']);
  });
});

describe('Reflector, bad objects and bad handlers', () => {
  test('an object given anew under the same name is a delete and an add', async () => {
    server.script(stream([added('a', 1), listEnd(5), added('a', 6, 'uid-new')]));
    const things = start();
    await changesUntil('added a uid-new 6');
    expect(changes).toEqual(['added a uid-a 1', 'deleted a uid-a 1', 'added a uid-new 6']);
    expect(things.get('ns/a')?.metadata.uid).toBe('uid-new');
  });

  test('a handler that throws or rejects is logged, and the next changes arrive', async () => {
    server.script(listed(5, added('a', 1), added('b', 2), added('c', 3)));
    const things = start(({ object }): unknown => {
      if (object.metadata.name === 'a') throw new Error('handler a');
      return object.metadata.name === 'b' ? Promise.reject(new Error('handler b')) : undefined;
    });
    await things.synced();
    expect(changes).toHaveLength(3);
    const failures = recorded.lines.filter(({ msg }) => msg === 'change handler failed');
    expect(failures.map(({ key }) => key)).toEqual(['ns/a', 'ns/b']);
  });

  test('a poisoned object is skipped, said once, and does not stop the others', async () => {
    const poisoned = modified('p', 7, 'uid-p', 'huge');
    server.script(
      stream([added('p', 1, 'uid-p', 'huge'), added('a', 2), listEnd(5), poisoned, modified('a', 8)], 'close'),
      refuse(410),
      listed(20, added('p', 7, 'uid-p', 'huge'), added('a', 8), added('b', 9)),
    );
    const things = start();
    await changesUntil('added b uid-b 9');
    expect(changes).toEqual(['added a uid-a 2', 'updated a uid-a 8', 'added b uid-b 9']);
    expect(things.get('ns/p')).toBeUndefined();
    expect(recorded.lines.filter(({ msg }) => msg.startsWith('object skipped'))).toMatchObject([
      { key: 'ns/p', reason: 'size is no number' },
    ]);
  });

  test('an object that becomes poisoned stays as it was, and its deletion is told', async () => {
    const end = deleted('a', 9, 'uid-a', 'huge');
    server.script(stream([added('a', 1), listEnd(5), modified('a', 6, 'uid-a', 'huge'), modified('b', 7), end]));
    start();
    await changesUntil('deleted a uid-a 1');
    expect(changes).toEqual(['added a uid-a 1', 'added b uid-b 7', 'deleted a uid-a 1']);
  });
});
