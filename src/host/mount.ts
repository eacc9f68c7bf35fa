import { CommandError, type Run } from './command.ts';

/** Replaying a log tree or a large free-space tree can take a while on a slow disk. */
const TIMEOUT_MS = 120_000;

/** Mounts a btrfs device; the type is explicit so that nothing else is ever mounted by mistake. */
export async function mountBtrfs(run: Run, device: string, path: string, options: readonly string[]): Promise<void> {
  await run({
    file: 'mount',
    args: ['--types', 'btrfs', '--options', options.join(','), '--', device, path],
    timeoutMs: TIMEOUT_MS,
  });
}

/** Changes the options of a mounted filesystem in place; open files stay as they are. */
export async function remount(run: Run, path: string, options: readonly string[]): Promise<void> {
  await run({
    file: 'mount',
    args: ['--options', ['remount', ...options].join(','), '--', path],
    timeoutMs: TIMEOUT_MS,
  });
}

/** Unmounts; never lazily. Exit code 0 does not mean that the filesystem is unused: other mount namespaces may hold it. */
export async function unmount(run: Run, path: string): Promise<void> {
  await run({ file: 'umount', args: ['--', path], timeoutMs: TIMEOUT_MS });
}

/**
 * True when the kernel refused an option, or the filesystem as a whole: mount(8) has the same words for both (EINVAL;
 * util-linux 2.38, and 2.39 with its new mount API).
 */
export function isInvalidMount(error: unknown): error is CommandError {
  return (
    error instanceof CommandError &&
    /bad option|wrong fs type|Unknown parameter|bad value/i.test(error.failure.stderrTail)
  );
}
