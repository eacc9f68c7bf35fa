import { type FileHandle, open } from 'node:fs/promises';
import { CommandError } from './command.ts';
import { createRun, type RunOptions } from './run.ts';

/**
 * Takes an exclusive flock(2) on a file without waiting; undefined if somebody else has it.
 * The lock lives as long as any process holds this open file description: closing the handle releases it,
 * unless a command that inherited it still runs. Node has no flock of its own: flock(1) locks an inherited descriptor.
 */
export async function lockFile(path: string, flags: string, options: RunOptions): Promise<FileHandle | undefined> {
  const file = await open(path, flags, 0o600);
  try {
    const run = createRun({ ...options, fenceFd: file.fd });
    await run({
      file: 'flock',
      args: ['--exclusive', '--nonblock', '--conflict-exit-code', '75', '3'],
      timeoutMs: 30_000,
    });
    return file;
  } catch (error) {
    await file.close();
    if (error instanceof CommandError && error.failure.exitCode === 75) return undefined;
    throw error;
  }
}
