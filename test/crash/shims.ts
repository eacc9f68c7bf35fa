import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** What happens to one command. */
export type Fault =
  /** The agent is killed, the command never ran. */
  | 'kill-before'
  /** The agent is killed, the command has done its work. */
  | 'kill-after'
  /** The tool refuses with its own words and exit code, nothing was done. */
  | 'fail'
  /** The same, but the work was done. */
  | 'lie';

/** Which command gets the fault. */
export interface Plan {
  readonly fault: Fault;
  /** What the command begins with, e.g. `btrfs balance start`. */
  readonly verb: string;
  /** Strikes the `number`th (from 1) of these. */
  readonly number: number;
}

export interface LoggedCommand {
  readonly kind: 'reading' | 'changing';
  readonly fault: Fault | 'none';
  /** The command without what differs from volume to volume, e.g. `umount -- .top-UID`. */
  readonly text: string;
}

export interface Shims {
  /** For `--command-path`: the shims, then where the real tools are. */
  readonly commandPath: string;
  /** From now on commands are counted and logged anew; each plan strikes once. */
  readonly arm: (plans?: readonly Plan[]) => void;
  /** The commands since {@link Shims.arm}, in the order in which they began. */
  readonly log: () => readonly LoggedCommand[];
}

const REAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const TOOLS = [
  'blkid',
  'btrfs',
  'cat',
  'chattr',
  'cp',
  'flock',
  'install',
  'losetup',
  'mkdir',
  'mkfifo',
  'mkfs.btrfs',
  'mount',
  'mv',
  'rm',
  'rmdir',
  'stat',
  'sync',
  'truncate',
  'umount',
];

/** Makes `dir` with a shim for each tool of the agent, without a plan. */
export function installShims(dir: string): Shims {
  mkdirSync(dir, { recursive: true });
  for (const tool of TOOLS) symlinkSync(path.join(import.meta.dirname, 'shim.sh'), path.join(dir, tool));
  let turn = 0;
  const logPath = () => path.join(dir, `.log.${turn}`);
  const arm = (plans: readonly Plan[] = []) => {
    turn++;
    writeFileSync(logPath(), '');
    // Whole or not at all: a shim may read it at this moment.
    const planPath = path.join(dir, '.plan');
    writeFileSync(`${planPath}.tmp`, [`${turn}\n`, ...linesOf(plans)].join(''));
    renameSync(`${planPath}.tmp`, planPath);
  };
  arm();
  return { commandPath: `${dir}:${REAL_PATH}`, arm, log: () => parseLog(readFileSync(logPath(), 'utf8')) };
}

/** Verb by verb, with a number for each; of one verb no two plans want the same command. */
function linesOf(plans: readonly Plan[]): readonly string[] {
  return [...Map.groupBy(plans, ({ verb }) => verb)].flatMap(([verb, group], index) => {
    let last = 0;
    return group
      .toSorted((one, other) => one.number - other.number)
      .map(({ fault, number }) => {
        last = Math.max(number, last + 1);
        return `${index} ${last} ${fault} ${verb}\n`;
      });
  });
}

function parseLog(text: string): LoggedCommand[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [kind, fault, ...words] = line.split(' ') as [LoggedCommand['kind'], LoggedCommand['fault'], ...string[]];
      return { kind, fault, text: withoutNames(words.join(' ')) };
    });
}

/** The command without its operands, which is what a {@link Plan} names it by. */
export function verbOf({ text }: Pick<LoggedCommand, 'text'>): string {
  const words = text.split(' ');
  return words.slice(0, VERB_WORDS[words[0] ?? ''] ?? 1).join(' ');
}

/** The rest is operands. */
const VERB_WORDS: Readonly<Record<string, number>> = { btrfs: 3, losetup: 2, mount: 2, chattr: 2 };

/** The command line of any volume and Snapshot: without what differs between them. */
export function withoutNames(command: string): string {
  return command
    .replaceAll(/\/\S*\//g, '')
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UID')
    .replaceAll(/\bloop\d+/g, 'loopN')
    .replaceAll(/\d{4,}/g, 'N');
}
