import { describe, expect, it } from 'vitest';
import { VOLUME_FINALIZER } from '../../../src/api/group.ts';
import { lostPatch } from '../../../src/controller/lost-patch.ts';
import { addFinalizerPatch, removeFinalizerPatch } from '../../../src/controller/objects/finalizer.ts';
import { type ScheduledUpdate, saysScheduled, scheduledStatus } from '../../../src/controller/objects/status.ts';
import { createCommitments } from '../../../src/controller/volumes/commitments.ts';
import { condition, scheduled, T0, volumeOf } from '../../builders/objects.ts';

const MiB = 2 ** 20;
const now = new Date('2026-02-02T03:04:05Z');
const placed: ScheduledUpdate = { nodeName: 'node-a', reason: 'Placed', message: 'placed on node node-a' };
const refused: ScheduledUpdate = { nodeName: undefined, reason: 'NoNodeFits', message: '0 of 0' };

describe('createCommitments', () => {
  const on = (nodeName: string, size = '1Gi', sizeBytes?: number) =>
    volumeOf({ spec: { size }, status: { nodeName, ...(sizeBytes === undefined ? {} : { sizeBytes }) } });

  it('adds up what is on a node, rounded up to 4096', () => {
    const commitments = createCommitments();
    commitments.observe('ns/a', on('node-a', '128Mi'));
    commitments.observe('ns/b', on('node-a', String(128 * MiB + 1)));
    commitments.observe('ns/c', on('node-b'));
    commitments.observe('ns/d', volumeOf());
    expect(commitments.bytesOn('node-a')).toBe(256 * MiB + 4096);
    expect(commitments.bytesOn('node-x')).toBe(0);
  });

  it('counts what a volume has, if that is more than it should have', () => {
    const commitments = createCommitments();
    commitments.observe('ns/a', on('node-a', '512Mi', 1024 * MiB));
    commitments.observe('ns/b', on('node-a', '512Mi', 256 * MiB));
    expect(commitments.bytesOn('node-a')).toBe(1536 * MiB);
  });

  it('follows changes of size and forgets', () => {
    const commitments = createCommitments();
    commitments.observe('ns/a', on('node-a', '1Gi'));
    commitments.observe('ns/a', on('node-a', '2Gi'));
    expect(commitments.bytesOn('node-a')).toBe(2048 * MiB);
    commitments.forget('ns/a');
    commitments.forget('ns/a');
    expect(commitments.bytesOn('node-a')).toBe(0);
  });

  it('counts a decision until the cache shows it, whatever older state the cache shows before', () => {
    const commitments = createCommitments();
    commitments.assume('ns/a', 'node-a', 1024 * MiB);
    commitments.observe('ns/a', volumeOf());
    expect([commitments.isAssumed('ns/a'), commitments.bytesOn('node-a')]).toEqual([true, 1024 * MiB]);
    commitments.observe('ns/a', on('node-a'));
    expect([commitments.isAssumed('ns/a'), commitments.bytesOn('node-a')]).toEqual([false, 1024 * MiB]);
  });

  it('releases a decision that failed, but not what the cache has shown', () => {
    const commitments = createCommitments();
    commitments.assume('ns/a', 'node-a', 1024 * MiB);
    commitments.release('ns/a');
    expect(commitments.bytesOn('node-a')).toBe(0);
    commitments.assume('ns/a', 'node-a', 1024 * MiB);
    commitments.observe('ns/a', on('node-b'));
    commitments.release('ns/a');
    expect([commitments.bytesOn('node-a'), commitments.bytesOn('node-b')]).toEqual([0, 1024 * MiB]);
  });
});

describe('finalizer patches', () => {
  const sameVersion = { op: 'test', path: '/metadata/resourceVersion', value: '7' };

  it.each([
    ['none', undefined, { op: 'add', path: '/metadata/finalizers', value: [VOLUME_FINALIZER] }],
    ['an empty list', [], { op: 'add', path: '/metadata/finalizers', value: [VOLUME_FINALIZER] }],
    ['foreign ones', ['example.com/x'], { op: 'add', path: '/metadata/finalizers/-', value: VOLUME_FINALIZER }],
  ])('adds to %s', (_, finalizers, add) => {
    const volume = volumeOf({ metadata: { finalizers: finalizers ?? [] } });
    expect(addFinalizerPatch(volume, VOLUME_FINALIZER)).toEqual([sameVersion, add]);
  });

  it('removes ours by its place and leaves the others', () => {
    const volume = volumeOf({ metadata: { finalizers: ['example.com/x', VOLUME_FINALIZER, 'example.com/y'] } });
    const path = '/metadata/finalizers/1';
    expect(removeFinalizerPatch(volume, VOLUME_FINALIZER)).toEqual([
      sameVersion,
      { op: 'test', path, value: VOLUME_FINALIZER },
      { op: 'remove', path },
    ]);
  });
});

describe('scheduledStatus', () => {
  const agents = [condition('Ready', 'True'), condition('Mounted', 'True')];

  it('holds the controller’s part and nothing else', () => {
    const volume = volumeOf({ status: { sizeBytes: 5, conditions: agents } });
    expect(scheduledStatus(volume, placed, now)).toEqual({
      nodeName: 'node-a',
      conditions: [{ ...scheduled(), lastTransitionTime: '2026-02-02T03:04:05Z' }],
    });
  });

  it('keeps lastTransitionTime while the status is the same', () => {
    const before = condition('Scheduled', 'False', { reason: 'UnknownNode', message: 'x' });
    const status = scheduledStatus(volumeOf({ status: { conditions: [...agents, before] } }), refused, now);
    expect(status).toEqual({
      conditions: [{ ...before, reason: 'NoNodeFits', message: '0 of 0', lastTransitionTime: T0 }],
    });
  });

  it('is not worth a write once it is there', () => {
    const volume = volumeOf();
    for (const update of [placed, refused]) {
      expect(saysScheduled(volume, update)).toBe(false);
      const written = volumeOf({ status: scheduledStatus(volume, update, now) });
      expect(saysScheduled(written, update)).toBe(true);
      expect(saysScheduled({ ...written, metadata: { ...written.metadata, generation: 2 } }, update)).toBe(false);
      expect(saysScheduled(written, { ...update, message: 'other' })).toBe(false);
    }
  });
});

describe('lostPatch', () => {
  const ready = {
    type: 'Ready',
    status: 'Unknown',
    reason: 'NodeLost',
    message: 'silent',
    lastTransitionTime: '2026-02-02T03:04:05Z',
    observedGeneration: 3,
  };
  const version = { op: 'test', path: '/metadata/resourceVersion', value: '7' };
  const before = [scheduled(), condition('Ready', 'True'), condition('Mounted', 'True')];
  it.each([
    [
      'in its place',
      before,
      [
        { op: 'test', path: '/status/conditions/1/type', value: 'Ready' },
        { op: 'replace', path: '/status/conditions/1', value: ready },
      ],
    ],
    ['behind others', [scheduled()], [{ op: 'add', path: '/status/conditions/1', value: ready }]],
    ['alone', undefined, [{ op: 'add', path: '/status/conditions', value: [ready] }]],
  ])('F38 it is Ready=Unknown %s and nothing else of the status', (_, conditions, operations) => {
    const volume = volumeOf({ metadata: { generation: 3 }, status: { nodeName: 'node-a', sizeBytes: 10, conditions } });
    expect(lostPatch(volume, 'silent', now)).toEqual([version, ...operations]);
  });
});
