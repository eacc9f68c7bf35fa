import { expect, test } from 'vitest';
import { parseBtrfsNode } from '../../../src/api/btrfs-node.ts';
import { parseBuildCache } from '../../../src/api/build-cache.ts';
import { parseBuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import { type LoopbackVolumeStatus, parseLoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { ownedByAgent, ownedByController } from '../../../src/api/ownership.ts';
import { unreadableOf, whyLeftAlone } from '../../../src/api/parse.ts';
import { parseSnapshot } from '../../../src/api/snapshot.ts';

const metadata = { namespace: 'team', name: 'demo', uid: 'u1', resourceVersion: '7' };
const since = '2026-11-21T10:00:00Z';
const condition = (type: string) => ({
  type,
  status: 'True' as const,
  reason: 'Ready',
  message: '',
  lastTransitionTime: since,
});

test('parseLoopbackVolume: applies every default', () => {
  expect(parseLoopbackVolume({ metadata, spec: { size: '1Gi', minimize: {} } })).toEqual({
    apiVersion: 'btrfs-operator.io/v1alpha1',
    kind: 'LoopbackVolume',
    metadata,
    spec: {
      size: '1Gi',
      owner: { uid: 0, gid: 0, mode: '0755' },
      metadataProfile: 'single',
      compression: 'zstd:3',
      discard: 'Async',
      durability: 'Full',
      mounted: true,
      minimize: { headroom: '96Mi' },
      deletionPolicy: 'Delete',
    },
    status: { observedGeneration: -1 },
  });
});

test('parseLoopbackVolume: drops what a newer version may have added, at any depth', () => {
  const raw = {
    metadata: { ...metadata, managedFields: [{ manager: 'kubectl' }] },
    spec: { size: 1073741824, encryption: { key: {} }, owner: { uid: 5, umask: '022' } },
    status: { nodeName: 'a', exported: true, conditions: [{ ...condition('Ready'), severity: 'Info' }] },
    extra: 1,
  };
  const volume = parseLoopbackVolume(raw);
  expect(Object.keys(volume)).toEqual(['apiVersion', 'kind', 'metadata', 'spec', 'status']);
  expect(volume.metadata).toEqual(metadata);
  expect(volume.spec).not.toHaveProperty('encryption');
  expect(volume.spec.owner).toEqual({ uid: 5, gid: 0, mode: '0755' });
  expect(volume.status).toEqual({ nodeName: 'a', conditions: [condition('Ready')] });
});

test('parseLoopbackVolume: reads null as absence', () => {
  const raw = {
    metadata: { ...metadata, creationTimestamp: null },
    spec: { size: '1Gi', label: null, owner: null },
    status: null,
  };
  const volume = parseLoopbackVolume(raw);
  expect(volume.metadata).toEqual(metadata);
  expect(volume.spec.owner.mode).toBe('0755');
  expect(volume.status).toEqual({ observedGeneration: -1 });
});

const refused = [
  [
    { metadata, spec: { size: '1Gi', owner: { mode: '4755' } } },
    /^cannot read LoopbackVolume team\/demo: spec\.owner\.mode: .*; got "4755"$/,
  ],
  [{ metadata, spec: {} }, /^cannot read LoopbackVolume team\/demo: spec\.size: .*; got nothing$/],
  [{ metadata, spec: { size: '1Gi', discard: false } }, /spec\.discard: .*; got false$/],
  [{ metadata }, /team\/demo: spec: .*; got nothing$/],
] as const;

test.each(refused)(
  'F33 parseObject: reads the rest, and names kind, object, field and value of what it cannot read (%#)',
  (raw, message) => {
    const volume = parseLoopbackVolume(raw);
    expect(volume.metadata).toEqual(metadata);
    expect(unreadableOf(volume)?.message).toMatch(message);
    expect(volume.spec).toMatchObject({ size: expect.anything(), mounted: true });
  },
);

test('F33 parseObject: stands in for what cannot be missing, with nothing that would do harm', () => {
  const spec = { size: 'much', deletionPolicy: 'Archive', label: 5, owner: { uid: -1, gid: 7 }, mounted: 'yes' };
  const volume = parseLoopbackVolume({ metadata, spec, status: { nodeName: 'a', sizeBytes: 4096 } });
  expect(volume.spec).toMatchObject({ size: 0, deletionPolicy: 'Retain', owner: { uid: 0, gid: 7 }, mounted: true });
  expect(volume.status).toEqual({ nodeName: 'a', sizeBytes: 4096 });
  expect(whyLeftAlone(volume)).toMatch(/^cannot read LoopbackVolume team\/demo: spec\..*can be deleted$/);
  const snapshot = parseSnapshot({ metadata, spec: { source: { volume: {} }, deletionPolicy: 'Delete' } });
  expect(snapshot.spec.deletionPolicy).toBe('Retain');
});

test('F33 parseObject: goes on without a field that says how, not what', () => {
  const volume = parseLoopbackVolume({ metadata, spec: { size: '1Gi', discard: 'Lazy' } });
  expect(volume.spec.discard).toBe('Async');
  expect(unreadableOf(volume)?.message).toMatch(/spec\.discard: .*; got "Lazy"$/);
  expect(whyLeftAlone(volume)).toBeUndefined();
});

test('F33 parseObject: a release or publishPolicy of a newer version publishes and discards nothing', () => {
  const claim = parseBuildCacheClaim({ metadata, spec: { cacheRef: { name: 'c' }, release: 'PublishLater' } });
  expect(claim.spec).toMatchObject({ cacheRef: { name: 'c' } });
  expect(claim.spec.release).toBeUndefined();
  expect(unreadableOf(claim)?.message).toMatch(/spec\.release: .*; got "PublishLater"$/);
  const cache = parseBuildCache({ metadata, spec: { volumeRef: { name: 'v' }, publishPolicy: 'WhenSmaller' } });
  expect(cache.spec).toMatchObject({ volumeRef: { name: 'v' }, publishPolicy: 'Never' });
  expect(unreadableOf(cache)?.message).toMatch(/spec\.publishPolicy: .*; got "WhenSmaller"$/);
  for (const object of [claim, cache]) expect(whyLeftAlone(object)).toBeUndefined();
});

test('F33 parseObject: leaves out what it cannot read of status, and nothing else', () => {
  const conditions = [condition('Ready'), { ...condition('New'), status: 'Maybe' }, condition('Mounted')];
  const status = { nodeName: 'a', progress: { operation: 'Defragment' }, sizeBytes: 2 ** 53, conditions };
  const volume = parseLoopbackVolume({ metadata, spec: { size: '1Gi' }, status });
  expect(volume.status).toEqual({ nodeName: 'a', conditions: [condition('Ready'), condition('Mounted')] });
  expect(unreadableOf(volume)).toBeUndefined();
});

test.each([
  [{ metadata: { name: 'x' }, spec: { size: '1Gi' } }, /LoopbackVolume x: metadata\.uid/],
  [{ kind: 'BtrfsNode', metadata, spec: { size: '1Gi' } }, /: kind: /],
  [null, /^cannot read LoopbackVolume \(without a name\): the object: .*; got null$/],
  ['text', /: the object: .*; got "text"$/],
])('parseLoopbackVolume: refuses what is no object of its kind (%#)', (raw, message) => {
  expect(() => parseLoopbackVolume(raw)).toThrow(message);
  expect(() => parseLoopbackVolume(raw)).toThrow(TypeError);
});

test('parseBtrfsNode: reads a node with orphans of which only the uid is known', () => {
  const raw = {
    metadata: { name: 'node-a', uid: 'u', resourceVersion: '1' },
    status: { orphans: [{ uid: 'x', bytes: 5 }] },
  };
  expect(parseBtrfsNode(raw).status).toEqual({ orphans: [{ uid: 'x', bytes: 5 }] });
});

test('ownedByAgent and ownedByController: are all of status together and nothing twice', () => {
  const status: LoopbackVolumeStatus = {
    observedGeneration: 2,
    nodeName: 'a',
    sizeBytes: 4096,
    conditions: [condition('Scheduled'), condition('Ready'), condition('Mounted')],
  };
  expect(ownedByAgent(status)).toEqual({
    observedGeneration: 2,
    sizeBytes: 4096,
    conditions: [condition('Ready'), condition('Mounted')],
  });
  expect(ownedByController(status)).toEqual({ nodeName: 'a', conditions: [condition('Scheduled')] });
  expect([ownedByAgent({}), ownedByController({ conditions: [] })]).toEqual([{}, {}]);
});
