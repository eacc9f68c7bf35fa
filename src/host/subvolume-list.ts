import { CommandError, type Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

const TIMEOUT_MS = 60_000;

/** A line of `btrfs subvolume list`. */
export interface ListedSubvolume {
  readonly id: number;
  readonly uuid: string;
  /** uuid of the subvolume that it is a snapshot of. */
  readonly parentUUID: string | undefined;
  /** uuid of the subvolume that it was sent from. */
  readonly receivedUUID: string | undefined;
  /** Of the last transaction that changed it; what was not synced does not show. */
  readonly generation: number;
  /** From the top of the filesystem, without a slash at the beginning. */
  readonly path: string;
}

/**
 * The subvolumes that lie in the subvolume at `path` itself, not in one further down: where only root can write there, no
 * tenant's name is in the output (a name with a newline forges lines of it).
 */
export async function listSubvolumesIn(
  run: Run,
  path: string,
  which: 'all' | 'read-only' = 'all',
): Promise<readonly ListedSubvolume[]> {
  const { stdout } = await run({
    file: 'btrfs',
    args: ['subvolume', 'list', '-o', ...(which === 'all' ? [] : ['-r']), '-u', '-q', '-R', '--', path],
    timeoutMs: TIMEOUT_MS,
  });
  return parseSubvolumeList(stdout);
}

/** True if any subvolume lies in the one at `path`; their names may be anybody's, and as many as they like. */
export async function hasSubvolumesIn(run: Run, path: string): Promise<boolean> {
  try {
    const args = ['subvolume', 'list', '-o', '--', path];
    return (await run({ file: 'btrfs', args, timeoutMs: TIMEOUT_MS })).stdout !== '';
  } catch (error) {
    if (error instanceof CommandError && TOO_MANY.test(error.failure.stderrTail)) return true;
    throw error;
  }
}

/** What the runner says of a command whose output has no end. */
const TOO_MANY = /^more than \d+ bytes of output$/;

const LINE =
  /^ID (\d+) gen (\d+) top level \d+ parent_uuid (-|[0-9a-f-]{36})\s+received_uuid (-|[0-9a-f-]{36})\s+uuid ([0-9a-f-]{36}) path (.+)$/;

/**
 * Parses `ID 259 gen 8 top level 256 parent_uuid 0636… received_uuid - uuid 673b… path .btrfs-operator/data` (btrfs-progs
 * 6.2). Throws {@link UnexpectedOutputError} on any other line: a list that is half understood must not show one as absent.
 */
export function parseSubvolumeList(stdout: string): readonly ListedSubvolume[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, id, generation, parentUUID, receivedUUID, uuid, path] = LINE.exec(line) ?? [];
      if (id === undefined || uuid === undefined || path === undefined)
        throw new UnexpectedOutputError('btrfs subvolume list', line);
      return {
        id: Number(id),
        uuid,
        parentUUID: orAbsent(parentUUID),
        receivedUUID: orAbsent(receivedUUID),
        generation: Number(generation),
        path,
      };
    });
}

function orAbsent(uuid: string | undefined): string | undefined {
  return uuid === '-' ? undefined : uuid;
}

export interface NestedSubvolume {
  readonly id: number;
  readonly parentId: number;
}

/**
 * Ids of all subvolumes of the filesystem with that of the subvolume each lies in. NOTE: names in the output are anybody's
 * and may forge lines: only for a filesystem of which all but what is known goes.
 */
export async function listNesting(run: Run, path: string): Promise<readonly NestedSubvolume[]> {
  const { stdout } = await run({ file: 'btrfs', args: ['subvolume', 'list', '-p', '--', path], timeoutMs: TIMEOUT_MS });
  return [...stdout.matchAll(/^ID (\d+) gen \d+ parent (\d+) top level \d+ path /gm)].map(([, id, parentId]) => ({
    id: Number(id),
    parentId: Number(parentId),
  }));
}
