import { beforeEach, describe, expect, it } from 'vitest';
import { createSaidByKind } from '../../../src/agent/said-by-kind.ts';
import { createTriggers } from '../../../src/agent/triggers.ts';
import type { EnqueueOptions, Reconciler } from '../../../src/runtime/reconciler.ts';
import { condition, nodeLost, type VolumeParts, volumeOf } from '../../builders/objects.ts';
import { snapshotOf } from '../../builders/snapshots.ts';

const calls: string[] = [];

function queueNamed(name: string): Reconciler {
  return {
    enqueue: (key: string, options: EnqueueOptions = {}) =>
      void calls.push([name, 'enqueue', key, ...Object.values(options)].join(' ')),
    interrupt: (key: string) => void calls.push(`${name} interrupt ${key}`),
    depth: 0,
    stop: async () => {},
  };
}

const cacheOf = <T>(objects: readonly T[]) => ({ get: () => undefined, values: () => objects });

const rested = { observedGeneration: 1, conditions: [condition('Ready', 'True')] };
const said = createSaidByKind();
const triggers = createTriggers({
  nodeName: 'node-a',
  caches: {
    volumes: cacheOf([volumeOf(), volumeOf({ metadata: { name: 'rested' }, status: rested })]),
    snapshots: cacheOf([]),
    buildCaches: cacheOf([]),
    claims: cacheOf([]),
  },
  queues: {
    volumes: queueNamed('volumes'),
    snapshots: queueNamed('snapshots'),
    buildCaches: queueNamed('caches'),
    claims: queueNamed('claims'),
    node: queueNamed('node'),
  },
  said,
  orphans: { look: (volumeUid) => void calls.push(`orphans look ${volumeUid ?? 'everywhere'}`) },
});
const updated = (parts: VolumeParts) =>
  triggers.volumeChanged({ kind: 'updated', object: volumeOf(parts), previous: volumeOf() });

beforeEach(() => void calls.splice(0));

describe('createTriggers', () => {
  it('a new volume is looked at, and soon what the node has promised', () => {
    triggers.volumeChanged({ kind: 'added', object: volumeOf() });
    expect(calls).toEqual(['volumes enqueue ns/vol', 'node enqueue node-a 1000']);
  });

  it('a volume that is gone is looked at', () => {
    triggers.volumeChanged({ kind: 'deleted', object: volumeOf() });
    expect(calls).toEqual(['volumes enqueue ns/vol', 'node enqueue node-a 1000']);
  });

  it.each([
    ['another spec', { metadata: { generation: 2 } }],
    ['a deletion', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }],
    ['NodeLost, which is not true while we are here', { status: { conditions: [nodeLost()] } }],
  ])('%s interrupts what is done for the older wish', (_, parts) => {
    updated(parts);
    expect(calls).toEqual(['volumes interrupt ns/vol', 'node enqueue node-a 1000']);
  });

  it.each([
    ['a status that we wrote', { status: { sizeBytes: 4096, conditions: [condition('Ready', 'True')] } }],
    ['labels of one that is as it should be', { metadata: { labels: { a: 'b' } }, status: rested }],
    ['finalizers', { metadata: { finalizers: [] } }],
    ['nothing (a new list)', {}],
  ])('%s asks for nothing', (_, parts) => {
    updated(parts);
    expect(calls).toEqual([]);
  });

  it('F44 whoever takes back that an object is removed has it looked at', () => {
    const removed = { status: { nodeName: 'node-a', conditions: [condition('Removed', 'True')] } };
    const object = volumeOf({ status: { nodeName: 'node-a' } });
    triggers.volumeChanged({ kind: 'updated', object, previous: volumeOf(removed) });
    expect(calls).toContain('volumes interrupt ns/vol');
    calls.splice(0);
    triggers.volumeChanged({ kind: 'updated', object: volumeOf(removed), previous: object });
    expect(calls).toEqual([]);
  });

  it.each([
    ['labels', { metadata: { labels: { a: 'b' } } }],
    ['annotations', { metadata: { annotations: { a: 'b' } } }],
  ])('F50 %s of a volume in trouble end its pause, and break nothing off', (_, parts) => {
    updated(parts);
    expect(calls).toEqual(['volumes enqueue ns/vol']);
  });

  it('a change of the BtrfsNode is looked at', () => {
    triggers.btrfsNodeChanged();
    expect(calls).toEqual(['node enqueue node-a']);
  });

  it('C8 what is left of an object that is gone is looked for, everywhere if its volume is gone too', () => {
    triggers.snapshotChanged({ kind: 'deleted', object: snapshotOf() });
    expect(calls).toContain('orphans look everywhere');
  });

  it('C8 a Snapshot that has adopted leaves one orphan less, any other change leaves them as they are', () => {
    const spec = { source: { adopt: { uid: '3f1f8f9e-3f64-4f0c-9d59-5b6f6c0c1a11' } } };
    const [before, after] = [snapshotOf({ spec }), snapshotOf({ spec, status: { uuid: 'there' } })];
    triggers.snapshotChanged({ kind: 'updated', object: after, previous: before });
    expect(calls).toContain('orphans look everywhere');
    calls.splice(0);
    triggers.snapshotChanged({ kind: 'updated', object: after, previous: after });
    triggers.snapshotChanged({
      kind: 'updated',
      object: snapshotOf({ status: { uuid: 'a' } }),
      previous: snapshotOf(),
    });
    expect(calls.filter((call) => call.startsWith('orphans'))).toEqual([]);
  });

  it('C8 a volume that can be looked into is', () => {
    triggers.volumeMounted(volumeOf());
    expect(calls).toEqual([`orphans look ${volumeOf().metadata.uid}`]);
  });

  it('at the start everything is looked at; what is as it should be after what changes meanwhile', () => {
    triggers.enqueueAll();
    expect(calls).toEqual(['node enqueue node-a', 'volumes enqueue ns/vol', 'volumes enqueue ns/rested low']);
  });
});
