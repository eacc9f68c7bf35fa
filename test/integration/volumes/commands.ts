import type { Child } from '../../cluster/child.ts';
import { waitFor } from '../../cluster/wait-for.ts';

interface LogLine {
  readonly msg?: string;
  readonly command?: string;
  readonly args?: readonly string[];
  readonly name?: string;
}

/** The end of an agent's log now: what it does from here on is asked for with this mark. */
export function markOf(agent: Child): number {
  return agent.log().length;
}

/** Command lines that an agent (with its log at debug) has run since the mark, in the order in which they ended. */
export function commandsSince(agent: Child, mark: number): string[] {
  return linesSince(agent, mark)
    .filter(({ msg }) => msg === 'command ended')
    .map(({ command = '', args = [] }) => [command, ...args].join(' '));
}

/** Those that change an image, a loop device or a mount; the others look, take a lock, or are about an empty mount directory. */
export function changesSince(agent: Child, mark: number): string[] {
  return commandsSince(agent, mark).filter(
    (line) => !/^(stat|flock|blkid|chattr|losetup --list|btrfs --version|btrfs subvolume list)\b/.test(line),
  );
}

/** Waits until the agent has ended a pass of the volume since the mark. */
export async function passEnded(agent: Child, name: string, mark: number): Promise<void> {
  await waitFor(() => linesSince(agent, mark).some((line) => line.msg === 'pass ended' && line.name === name), {
    what: `pass of ${name}`,
    timeoutMs: 15_000,
  });
}

/** Index of each pattern's first match at or after that of the one before it; -1 from the first that is missing. */
export function orderOf(lines: readonly string[], patterns: readonly RegExp[]): number[] {
  let at = -1;
  let missing = false;
  return patterns.map((pattern) => {
    if (!missing) at = lines.findIndex((line, index) => index > at && pattern.test(line));
    missing ||= at < 0;
    return missing ? -1 : at;
  });
}

function linesSince(agent: Child, mark: number): LogLine[] {
  return agent
    .log()
    .slice(mark)
    .split('\n')
    .flatMap((line): LogLine[] => {
      try {
        return [JSON.parse(line)];
      } catch {
        return []; // a half-written line, or what Node itself prints
      }
    });
}
