import { CommandError, type Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

const TIMEOUT_MS = 60_000;
/** A snapshot writes out what was not synced of its source first. */
const SNAPSHOT_TIMEOUT_MS = 10 * 60_000;
/** What btrfs-progs (6.2) say of {@link snapshotSubvolume} when the destination is a directory. */
const EXISTS = /invalid snapshot name '\.'/;

export interface Subvolume {
  readonly id: number;
  readonly uuid: string;
}

/** Makes an empty subvolume; fails if the path exists. Not durable before a sync. */
export async function createSubvolume(run: Run, path: string): Promise<void> {
  await run({ file: 'btrfs', args: ['subvolume', 'create', '--', path], timeoutMs: TIMEOUT_MS });
}

/** Id and uuid of the subvolume at `path`. */
export async function showSubvolume(run: Run, path: string): Promise<Subvolume> {
  const { stdout } = await run({ file: 'btrfs', args: ['subvolume', 'show', '--', path], timeoutMs: TIMEOUT_MS });
  return parseSubvolumeShow(stdout);
}

/** Parses `\tUUID: \t\t\t0c29…` and `\tSubvolume ID: \t\t256` (btrfs-progs 6.2). Throws {@link UnexpectedOutputError}. */
export function parseSubvolumeShow(stdout: string): Subvolume {
  const field = (name: string) => stdout.match(new RegExp(`^\\s*${name}:\\s+(\\S+)\\s*$`, 'm'))?.[1];
  const id = Number(field('Subvolume ID'));
  const uuid = field('UUID');
  if (!Number.isSafeInteger(id) || uuid === undefined || !/^[0-9a-f-]{36}$/.test(uuid)) {
    throw new UnexpectedOutputError('btrfs subvolume show', stdout);
  }
  return { id, uuid };
}

/** `destination` is a snapshot of `source`, durable with all that was written before; fails if `destination` exists. */
export async function snapshotSubvolume(
  run: Run,
  source: string,
  destination: string,
  access: 'ReadOnly' | 'ReadWrite',
): Promise<void> {
  const flags = access === 'ReadOnly' ? ['-r'] : [];
  // Of a directory that exists btrfs makes the parent, with the last part of the source as the name in it; it takes no `.` for one.
  const args = ['subvolume', 'snapshot', ...flags, '--', `${source}/.`, destination];
  const command = { file: 'btrfs', args, timeoutMs: SNAPSHOT_TIMEOUT_MS };
  try {
    await run(command);
  } catch (error) {
    if (!(error instanceof CommandError) || !EXISTS.test(error.failure.stderrTail)) throw error;
    throw new CommandError(command, { ...error.failure, stderrTail: `${destination} exists` }, { cause: error });
  }
}

/**
 * The subvolumes at these paths are gone, on disk too, and their space is being freed. All parents have to be directories
 * that only root can write. One that can't be deleted (another one lies in it) doesn't hold up the rest: for `some`, look afterwards.
 */
export async function deleteSubvolumes(run: Run, paths: readonly string[]): Promise<'all' | 'some'> {
  const { exitCode } = await run({
    file: 'btrfs',
    args: ['subvolume', 'delete', '--commit-after', '--', ...paths],
    timeoutMs: SNAPSHOT_TIMEOUT_MS,
    okExitCodes: [0, 1],
  });
  return exitCode === 0 ? 'all' : 'some';
}

/** The subvolume of this id is gone from the filesystem mounted at `path`; its own path is not looked at. */
export async function deleteSubvolumeById(run: Run, id: number, path: string): Promise<void> {
  await run({
    file: 'btrfs',
    args: ['subvolume', 'delete', '--commit-after', '--subvolid', String(id), '--', path],
    timeoutMs: SNAPSHOT_TIMEOUT_MS,
  });
}

/**
 * The space of all subvolumes that are deleted now is free again, or the time is over: one that a process has files open in
 * waits for that. The caller has woken the cleaner by a sync. False if the time was over.
 */
export async function waitForCleaner(run: Run, path: string, timeoutMs: number): Promise<boolean> {
  try {
    await run({ file: 'btrfs', args: ['subvolume', 'sync', '--', path], timeoutMs });
    return true;
  } catch (error) {
    if (error instanceof CommandError && error.failure.timedOut) return false;
    throw error;
  }
}
