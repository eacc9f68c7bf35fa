import { describe, expect, test } from 'vitest';
import type { Transport } from '../../../src/kube/transport.ts';
import { endsInitialList, versionOf, type WatchEvent, watchEvents } from '../../../src/kube/watch.ts';

/** The events of a body that arrives in these chunks. */
async function eventsOf(chunks: readonly Uint8Array[]): Promise<WatchEvent[]> {
  const body = (async function* () {
    yield* chunks;
  })();
  const transport: Transport = {
    request: () => Promise.reject(new Error('not asked for')),
    stream: () => Promise.resolve(body),
    reconnect: () => undefined,
    onReconnect: () => () => undefined,
    close: () => Promise.resolve(),
  };
  const events: WatchEvent[] = [];
  const { signal } = new AbortController();
  const options = { transport, path: '/p', resourceVersion: '1', inactivityMs: 1_000, signal, onActivity: () => {} };
  for await (const event of watchEvents(options)) events.push(event);
  return events;
}

const line = (name: string) => `${JSON.stringify({ type: 'ADDED', object: { metadata: { name } } })}\n`;
const names = (events: readonly WatchEvent[]) =>
  events.map(({ object }) => (object as { metadata: { name: string } }).metadata.name);

describe('watchEvents', () => {
  test('cut at every byte, the events are the same', async () => {
    const body = Buffer.from(`${line('ä€😀')}\n${line('b')}`);
    for (let size = 1; size <= body.length; size++) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < body.length; at += size) chunks.push(body.subarray(at, at + size));
      expect(names(await eventsOf(chunks))).toEqual(['ä€😀', 'b']);
    }
  });

  test('a last line without its newline is dropped', async () => {
    expect(names(await eventsOf([Buffer.from(`${line('a')}${line('b').trimEnd()}`)]))).toEqual(['a']);
  });

  test('an ERROR event is thrown as the Status it holds', async () => {
    const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version: 1 (9)' };
    await expect(
      eventsOf([Buffer.from(`${JSON.stringify({ type: 'ERROR', object: status })}\n`)]),
    ).rejects.toMatchObject({
      code: 410,
      reason: 'Expired',
      message: 'WATCH /p: too old resource version: 1 (9)',
    });
    await expect(eventsOf([Buffer.from('{"type":"ERROR"}\n')])).rejects.toMatchObject({ code: 500 });
  });

  test.each(['null', '7', '"ADDED"', '{}', '{"type":"NEWS"}', '{'])('a line %s is an InvalidResponse', async (text) => {
    await expect(eventsOf([Buffer.from(`${text}\n`)])).rejects.toMatchObject({ code: 0, reason: 'InvalidResponse' });
  });
});

test.each([
  [{ type: 'BOOKMARK', object: { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } }, true],
  [{ type: 'BOOKMARK', object: { metadata: { resourceVersion: '5' } } }, false],
  [{ type: 'ADDED', object: { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } }, false],
  [{ type: 'BOOKMARK', object: null }, false],
] satisfies ReadonlyArray<[WatchEvent, boolean]>)('endsInitialList: %j is %j', (event, ends) => {
  expect(endsInitialList(event)).toBe(ends);
});

test('versionOf is undefined for an object without one', () => {
  expect(versionOf({ type: 'ADDED', object: { metadata: { resourceVersion: '5' } } })).toBe('5');
  expect(versionOf({ type: 'ADDED', object: { metadata: { resourceVersion: '' } } })).toBeUndefined();
  expect(versionOf({ type: 'ADDED', object: undefined })).toBeUndefined();
});
