import { describe, expect, it } from 'vitest';
import { balanceChunk, cancelBalance, parseRelocated } from '../../../src/host/btrfs-balance.ts';
import {
  cancelResize,
  forgetFailedAllocation,
  isOutOfSpace,
  minDevSize,
  resizeFilesystem,
  setFilesystemLabel,
  syncFilesystem,
} from '../../../src/host/btrfs-filesystem.ts';
import { parseFilesystemUsage, readFilesystemUsage } from '../../../src/host/btrfs-usage.ts';
import type { Run } from '../../../src/host/command.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { textFixture } from '../../builders/fixtures.ts';
import { failedCommand, scriptedRun } from '../../fakes/scripted-run.ts';

interface Row {
  readonly verb: (run: Run) => Promise<unknown>;
  readonly typed: string;
  readonly answer?: string;
}

const moved = 'Done, had to relocate 1 out of 10 chunks\n';
const usage = textFixture('btrfs-6.2-filesystem-usage-dup');

const rows: readonly Row[] = [
  { verb: (run) => resizeFilesystem(run, '/m', 268_435_456), typed: 'btrfs filesystem resize 268435456 /m' },
  { verb: (run) => resizeFilesystem(run, '/m', 'max'), typed: 'btrfs filesystem resize max /m' },
  { verb: (run) => cancelResize(run, '/m'), typed: 'btrfs filesystem resize cancel /m' },
  { verb: (run) => syncFilesystem(run, '/m'), typed: 'btrfs filesystem sync /m' },
  { verb: (run) => setFilesystemLabel(run, '/m', '-x y'), typed: 'btrfs filesystem label -- /m -x y' },
  {
    verb: (run) => minDevSize(run, '/m'),
    typed: 'btrfs inspect-internal min-dev-size -- /m',
    answer: textFixture('btrfs-6.2-min-dev-size-full'),
  },
  { verb: (run) => readFilesystemUsage(run, '/m'), typed: 'btrfs filesystem usage -b -- /m', answer: usage },
  {
    verb: (run) => balanceChunk(run, '/m', { kind: 'metadata', startBytes: 8, endBytes: 16 }),
    typed: 'btrfs balance start -mvrange=8..16,limit=1 /m',
    answer: moved,
  },
  {
    verb: (run) => balanceChunk(run, '/m', { kind: 'data', startBytes: 8, endBytes: 16 }),
    typed: 'btrfs balance start -dvrange=8..16,limit=1 /m',
    answer: moved,
  },
  { verb: (run) => cancelBalance(run, '/m'), typed: 'btrfs balance cancel /m' },
];

describe('commands of btrfs', () => {
  it.each(rows)('$typed', async ({ verb, typed, answer = '' }) => {
    const { run, commands } = scriptedRun([[/^btrfs/, answer]]);
    await verb(run);
    expect(commands).toEqual([typed]);
  });

  it('cancelBalance: no balance to cancel is no failure, anything else is', async () => {
    const answers = (stderrTail: string) => scriptedRun([[/^btrfs/, { stderrTail }]]).run;
    await cancelBalance(answers("ERROR: balance cancel on '/m' failed: Not in progress"), '/m');
    await expect(cancelBalance(answers('ERROR: cannot access /m'), '/m')).rejects.toThrow('cannot access');
  });

  it('forgetFailedAllocation: frees an extent of its own, on disk', async () => {
    const { run, commands } = scriptedRun([0, 1, 2, 3].map(() => [/^/, ''] as const));
    await forgetFailedAllocation(run, '/m');
    expect(commands).toEqual([
      'fallocate --length 4096 -- /m/.compact',
      'btrfs filesystem sync /m',
      'rm --force -- /m/.compact',
      'btrfs filesystem sync /m',
    ]);
  });
});

describe('failures of btrfs', () => {
  const failure = (stderrTail: string) =>
    failedCommand({ file: 'btrfs', args: ['filesystem', 'resize'], timeoutMs: 1 }, { stderrTail });

  it.each([
    "ERROR: unable to resize '/m': No space left on device",
    "ERROR: error during balancing '/m': No space left on device; There may be more info in syslog - try dmesg | tail",
  ])('isOutOfSpace: %s', (text) => expect(isOutOfSpace(failure(text))).toBe(true));

  it.each([
    "ERROR: unable to start balance on '/m', another exclusive operation 'resize' in progress",
    "ERROR: error during balancing '/m': Operation now in progress",
  ])('isOutOfSpace: not %s', (text) => expect(isOutOfSpace(failure(text))).toBe(false));

  it('isOutOfSpace: an error of another kind is not one', () =>
    expect(isOutOfSpace(new Error('No space left on device'))).toBe(false));
});

describe('parsers of btrfs', () => {
  it('B24 parseFilesystemUsage: has the figures of the device', () =>
    expect(parseFilesystemUsage(usage)).toEqual({
      sizeBytes: 1_073_741_824,
      allocatedBytes: 367_394_816,
      unallocatedBytes: 706_347_008,
      usedBytes: 165_445_632,
      freeBytes: 788_398_080,
    }));

  it.each(['', 'ERROR: not a btrfs filesystem: /proc', usage.replace('Device size:', 'Size:')])(
    'parseFilesystemUsage: throws on another shape',
    (stdout) => expect(() => parseFilesystemUsage(stdout)).toThrow(UnexpectedOutputError),
  );

  it('parseRelocated: is the number of chunks that moved', () => expect(parseRelocated(moved)).toBe(1));
  it('parseRelocated: throws on another shape', () => expect(() => parseRelocated('')).toThrow(UnexpectedOutputError));
});
