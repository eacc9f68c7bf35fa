import { beforeEach, describe, expect, it } from 'vitest';
import { createTriggers } from '../../../src/agent/triggers.ts';
import type { EnqueueOptions, Reconciler } from '../../../src/runtime/reconciler.ts';
import { condition, nodeLost, type VolumeParts, volumeOf } from '../../builders/objects.ts';

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
    ['labels', { metadata: { labels: { a: 'b' } } }],
    ['finalizers', { metadata: { finalizers: [] } }],
    ['nothing (a new list)', {}],
  ])('%s asks for nothing', (_, parts) => {
    updated(parts);
    expect(calls).toEqual([]);
  });

  it('a change of the BtrfsNode is looked at', () => {
    triggers.btrfsNodeChanged();
    expect(calls).toEqual(['node enqueue node-a']);
  });

  it('at the start everything is looked at; what is as it should be after what changes meanwhile', () => {
    triggers.enqueueAll();
    expect(calls).toEqual(['node enqueue node-a', 'volumes enqueue ns/vol', 'volumes enqueue ns/rested low']);
  });
});
