import { CommandError, type Run } from './command.ts';

export interface FormatOptions {
  readonly metadataProfile: 'single' | 'dup';
  readonly label: string;
}

/** Wanted and not vital; the default of btrfs-progs since 5.15, unknown before 5.9. */
const BEST_EFFORT_ARGS = ['--runtime-features', 'free-space-tree'] as const;

/**
 * Arguments of mkfs.btrfs; forced: it asks nothing about what is on the device. The filesystem gets a UUID that the tool makes up: one that it
 * is given it looks for on every block device of the machine, and waits for the first that does not answer.
 */
export function mkfsArgs(device: string, options: FormatOptions, bestEffort: readonly string[]): readonly string[] {
  return [
    '--force',
    '--quiet',
    '--data',
    'single',
    '--metadata',
    options.metadataProfile,
    '--label',
    options.label,
    ...bestEffort,
    '--',
    device,
  ];
}

/**
 * Makes a new filesystem on the device, whatever was there: the caller has proved that nothing is lost by it.
 * Tried once more without the best-effort features, which an older mkfs refuses; if that fails too, the first error counts.
 */
export async function makeFilesystem(run: Run, device: string, options: FormatOptions): Promise<void> {
  const mkfs = (bestEffort: readonly string[]) =>
    run({ file: 'mkfs.btrfs', args: mkfsArgs(device, options, bestEffort), timeoutMs: 120_000 });
  try {
    await mkfs(BEST_EFFORT_ARGS);
  } catch (error) {
    if (!wasRefused(error)) throw error;
    await mkfs([]).catch((second: unknown) => {
      throw wasRefused(second) ? error : second;
    });
  }
}

/** The tool came to its end and said no; it was not given up on the way. */
function wasRefused(error: unknown): boolean {
  return error instanceof CommandError && !error.failure.timedOut && !error.failure.aborted;
}
