import { describe, expect, it } from 'vitest';
import { judge } from '../../../src/agent/judge.ts';
import { isRetried, outcomeOf, refusalOf } from '../../../src/agent/refusal.ts';
import { loopbackVolumeReasons } from '../../../src/api/reasons.ts';
import { snapshotReasons } from '../../../src/api/reasons-snapshot.ts';
import { ApiError } from '../../../src/kube/errors.ts';
import { StorageError, type StorageErrorCode } from '../../../src/storage/errors.ts';

const failed = (code: StorageErrorCode, reason?: string) =>
  new StorageError(code, 'could not do it', reason === undefined ? {} : { reason });

describe('refusalOf', () => {
  it.each([
    ['foreign', 'ForeignFilesystem', 'person'],
    ['damaged', 'FilesystemDamaged', 'person'],
    ['conflict', 'ForeignMount', 'person'],
    ['unsupported', 'UnsupportedHost', 'person'],
    ['in-use', 'StillInUse', 'time'],
    ['out-of-space', 'HostPressure', 'time'],
    ['timeout', 'CommandStuck', 'time'],
    ['failed', 'CommandFailed', 'time'],
  ] as const)('C22 refusalOf: %s keeps its reason %s and message, mended by %s %s', (code, reason, mendedBy) => {
    expect(refusalOf(failed(code, reason), loopbackVolumeReasons)).toEqual({
      reason,
      message: 'could not do it',
      mendedBy,
    });
  });

  it.each([
    ['refused', 'DownloadRefused', 'person', 60_000],
    ['refused', 'StreamRefused', 'person', 60_000],
    ['damaged', 'ChecksumMismatch', 'person', 60_000],
    ['not-ready', 'FileNotFound', 'time', 15_000],
    ['not-ready', 'ParentMissing', 'time', 15_000],
  ] as const)('refusalOf: content that is %s (%s) is mended by %s, and looked at again after %i ms', (...row) => {
    const [code, reason, mendedBy, afterMs] = row;
    const refusal = refusalOf(failed(code, reason), snapshotReasons);
    expect(refusal).toMatchObject({ reason, mendedBy });
    expect(outcomeOf(refusal)).toMatchObject({ kind: 'waiting', afterMs });
    expect(isRetried(failed(code, reason))).toBe(false);
  });

  it.each([undefined, 'SomethingElse', 'toString', 'constructor'])(
    'refusalOf: the reason %s, which the API does not know, becomes CommandFailed',
    (reason) => expect(refusalOf(failed('failed', reason), loopbackVolumeReasons).reason).toBe('CommandFailed'),
  );

  it('refusalOf: an unknown error shows nothing of itself', () => {
    const refusal = refusalOf(new Error('pid 4711 in /tmp/x7f3'), loopbackVolumeReasons);
    expect(refusal).toMatchObject({ reason: 'InternalError', mendedBy: 'time' });
    expect(refusal.message).not.toMatch(/4711|x7f3/);
  });
});

describe('outcomeOf', () => {
  it.each([
    ['InUse', 'time', 2_000],
    ['StillInUse', 'time', 2_000],
    ['HasDependents', 'time', 2_000],
    ['ReadOnlyNeedsRestart', 'time', 2_000],
    ['CommandStuck', 'time', 2_000],
    ['HostPressure', 'time', 15_000],
    ['ForeignMount', 'person', 60_000],
    ['StillInUse', 'person', 60_000],
  ] as const)('outcomeOf: %s, mended by %s, is looked at again after %i ms', (reason, mendedBy, afterMs) => {
    expect(outcomeOf({ reason, message: 'm', mendedBy })).toEqual({ kind: 'waiting', afterMs, reason, message: 'm' });
  });
});

describe('isRetried and judge', () => {
  const conflict = new ApiError(409, 'Conflict', 'the object has been modified');
  const unavailable = new ApiError(503, 'ServiceUnavailable', 'try later');
  it.each([
    ['a failed command', failed('failed'), true, 'transient'],
    ['what is not there', failed('not-found'), true, 'transient'],
    ['a volume in use', failed('in-use'), false, 'transient'],
    ['a foreign image', failed('foreign'), false, 'transient'],
    ['an aborted pass', failed('aborted'), false, 'benign'],
    ['a lost race', conflict, true, 'benign'],
    ['an API server that is down', unavailable, true, 'transient'],
    ['anything else', new TypeError('x'), true, 'bug'],
    ['what is no error at all', 'x', true, 'bug'],
  ] as const)('%s', (_, error, retried, kind) => {
    expect(isRetried(error)).toBe(retried);
    expect(judge(error)).toBe(kind);
  });
});
