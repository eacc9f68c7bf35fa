import { readFile } from 'node:fs/promises';
import { CommandError, type Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

/** One chunk; with many snapshots each of its extents has many references to rewrite. */
const TIMEOUT_MS = 60 * 60_000;
/** Cancelling waits until the extent in hand is done. */
const CANCEL_TIMEOUT_MS = 120_000;

/** What a balance may move: the chunks of one kind whose logical range touches [startBytes, endBytes). */
export interface BalanceFilter {
  readonly kind: 'data' | 'metadata';
  readonly startBytes: number;
  readonly endBytes: number;
}

function balanceArgs(mountPath: string, filter: BalanceFilter): readonly string[] {
  const flag = filter.kind === 'data' ? '-d' : '-m';
  return ['balance', 'start', `${flag}vrange=${filter.startBytes}..${filter.endBytes},limit=1`, mountPath];
}

/**
 * At most one chunk of the range is moved to other places; resolves to the number of chunks moved. No profile changes. Ends by
 * itself within the extent in hand when the command is killed (kernel 5.6). Throws {@link CommandError}, `isOutOfSpace`
 * when there is no place; part of the chunk may have moved by then.
 */
export async function balanceChunk(run: Run, mountPath: string, filter: BalanceFilter): Promise<number> {
  const { stdout } = await run({ file: 'btrfs', args: balanceArgs(mountPath, filter), timeoutMs: TIMEOUT_MS });
  return parseRelocated(stdout);
}

/** Parses `Done, had to relocate 1 out of 10 chunks` (btrfs-progs 6.2). Throws {@link UnexpectedOutputError}. */
export function parseRelocated(stdout: string): number {
  const match = stdout.match(/had to relocate (\d+) out of \d+ chunks/);
  if (match === null) throw new UnexpectedOutputError('btrfs balance start', stdout);
  return Number(match[1]);
}

/** No balance runs or is paused: one left by a killed process or by a reboot (`skip_balance`) is given up, what it moved stays moved. */
export async function cancelBalance(run: Run, mountPath: string): Promise<void> {
  try {
    await run({ file: 'btrfs', args: ['balance', 'cancel', mountPath], timeoutMs: CANCEL_TIMEOUT_MS });
  } catch (error) {
    if (error instanceof CommandError && /not in progress/i.test(error.failure.stderrTail)) return;
    throw error;
  }
}

/**
 * The operation that keeps others out: `none`, `balance`, `balance paused`, `resize`, `device add` …
 * (`/sys/fs/btrfs/FSID/exclusive_operation`, kernel 5.10; older kernels: undefined).
 */
export async function exclusiveOperation(filesystemUUID: string): Promise<string | undefined> {
  try {
    return (await readFile(`/sys/fs/btrfs/${filesystemUUID}/exclusive_operation`, 'utf8')).trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
