import { CommandError, type Run } from './command.ts';

/** These touch managed mounts: commands, not calls of Node's own (see coreutils.ts). */
const TIMEOUT_MS = 60_000;
/** Millions of files. */
const EMPTY_TIMEOUT_MS = 30 * 60_000;

/** Everything in the directory is copied into another one; directories that are there already stay. */
export async function copyInto(run: Run, directory: string, destination: string): Promise<void> {
  await run({
    file: 'cp',
    args: ['--recursive', '--no-target-directory', '--', directory, destination],
    timeoutMs: TIMEOUT_MS,
  });
}

/** The files' data, and their way from the top of the filesystem, are on disk. */
export async function syncFiles(run: Run, paths: readonly string[]): Promise<void> {
  await run({ file: 'sync', args: ['--', ...paths], timeoutMs: TIMEOUT_MS });
}

/**
 * Files and empty directories are gone, in this order; those that were not there count as gone. One that can't be removed doesn't
 * hold up the rest, and throws CommandError after them.
 */
export async function removePaths(run: Run, paths: readonly string[]): Promise<void> {
  await run({ file: 'rm', args: ['--force', '--dir', '--', ...paths], timeoutMs: TIMEOUT_MS });
}

/**
 * The directory has nothing in it but `kept`; symlinks are not followed, nor other filesystems entered. What is immutable is made mutable
 * first. Nobody else may be at work in it. Not durable before a sync.
 */
export async function emptyDirectory(run: Run, directory: string, kept: string): Promise<void> {
  const others = [directory, '-xdev', '-mindepth', '1', '-path', `${directory}/${kept}`, '-prune', '-o'];
  const free = ['-type', 'd,f', '-exec', 'chattr', '-f', '-i', '-a', '--', '{}', '+'];
  await run({ file: 'find', args: [...others, ...free], timeoutMs: EMPTY_TIMEOUT_MS, okExitCodes: [0, 1] });
  const top = [directory, '-mindepth', '1', '-maxdepth', '1', '!', '-name', kept];
  const remove = ['-exec', 'rm', '--recursive', '--force', '--one-file-system', '--', '{}', '+'];
  await run({ file: 'find', args: [...top, ...remove], timeoutMs: EMPTY_TIMEOUT_MS });
}

/** `source` has the name `destination`; fails if that exists. Not durable before a sync. */
export async function renameTo(run: Run, source: string, destination: string): Promise<void> {
  const args = ['--no-clobber', '--verbose', '--no-target-directory', '--', source, destination];
  const command = { file: 'mv', args, timeoutMs: TIMEOUT_MS };
  const { stdout, durationMs } = await run(command);
  if (stdout !== '') return;
  // Up to coreutils 9.1 it ends with 0 when it leaves everything as it is; it tells only what it renamed.
  throw new CommandError(command, {
    exitCode: 0,
    signal: undefined,
    stderrTail: `${destination} exists`,
    timedOut: false,
    aborted: false,
    stillRunning: false,
    durationMs,
  });
}

/** The text of a small file (the output of a command is bounded); undefined if there is none. */
export async function readText(run: Run, path: string): Promise<string | undefined> {
  try {
    return (await run({ file: 'cat', args: ['--', path], timeoutMs: TIMEOUT_MS })).stdout;
  } catch (error) {
    if (error instanceof CommandError && /No such file or directory/.test(error.failure.stderrTail)) return undefined;
    throw error;
  }
}

/** `source` has the name `destination` in one step, and what was there is gone. Not durable before a sync. */
export async function replaceWith(run: Run, source: string, destination: string): Promise<void> {
  await run({
    file: 'mv',
    args: ['--force', '--no-target-directory', '--', source, destination],
    timeoutMs: TIMEOUT_MS,
  });
}

/** These directories are there, each for root only when it was made now, as those above it. */
export async function makeDirectories(run: Run, paths: readonly string[]): Promise<void> {
  await run({ file: 'mkdir', args: ['--parents', '--mode=0700', '--', ...paths], timeoutMs: TIMEOUT_MS });
}
