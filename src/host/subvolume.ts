import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

const TIMEOUT_MS = 60_000;

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
