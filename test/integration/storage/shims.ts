import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { commandPathWith } from './store.ts';

/** Everything that storage runs on a volume. */
const TOOLS = [
  ...['losetup', 'mkfs.btrfs', 'mount', 'umount', 'btrfs', 'chattr', 'install', 'truncate', 'sync', 'blkid'],
  ...['cp', 'mv', 'btrfstune'],
];

/** What goes wrong: `before` the command has done anything, or `after` it has done everything. */
export type Fault = 'before' | 'after';

export interface Shims {
  readonly commandPath: string;
  /** From now on: the commands that match, as one types them, fail with this on stderr; each of them, or the n-th from now on. */
  fail(pattern: string, options?: { fault?: Fault; nth?: number; stderr?: string }): void;
  /** The n-th command from now on and all after it do nothing and fail, as if the node had lost power there. */
  dieAt(nth: number): void;
  /** Commands work again. */
  heal(): void;
  /** What was run since the last fault was set, as one types it. */
  ran(): readonly string[];
}

/**
 * A directory of shims for the tools that storage runs, to be the first in their PATH. Each passes its command on, unless the
 * test has asked for a fault.
 */
export function makeShims(dir: string): Shims {
  const shimsPath = path.join(dir, 'shims');
  mkdirSync(shimsPath);
  for (const tool of TOOLS) writeFileSync(path.join(shimsPath, tool), shimOf(shimsPath), { mode: 0o755 });
  const [logPath, faultPath] = [path.join(shimsPath, 'log'), path.join(shimsPath, 'fault')];
  const set = (fault: string | undefined) => {
    writeFileSync(logPath, '');
    rmSync(faultPath, { force: true });
    if (fault !== undefined) writeFileSync(faultPath, fault);
  };
  set(undefined);
  return {
    commandPath: commandPathWith(shimsPath),
    fail: (pattern, { fault = 'before', nth = 0, stderr = 'injected' } = {}) =>
      set(`fault=${fault} nth=${nth} pattern='${pattern}' stderr='${stderr}'`),
    dieAt: (nth) => set(`fault=dead nth=${nth} pattern=. stderr=dead`),
    heal: () => set(undefined),
    ran: () => readFileSync(logPath, 'utf8').split('\n').slice(0, -1),
  };
}

/** The number of a command is the line of its own in the log; a lock around both keeps commands in parallel apart. */
function shimOf(shimsPath: string): string {
  return `#!/bin/bash
PATH=\${PATH#${shimsPath}:}
tool=\${0##*/}
typed="$tool $*"
{ flock 9; echo "$typed" >&9; number=$(wc -l <${shimsPath}/log); } 9>>${shimsPath}/log
[ -e ${shimsPath}/fault ] || exec "$tool" "$@"
. <(tr '\\n' ' ' <${shimsPath}/fault)
hit=
[[ $typed =~ $pattern ]] && { [ "$nth" = 0 ] || [ "$nth" = "$(grep -cE -e "$pattern" <(head -n "$number" ${shimsPath}/log))" ]; } && hit=1
[ "$fault" = dead ] && [ "$number" -ge "$nth" ] && { echo "$stderr" >&2; exit 1; }
[ "$fault" = before ] && [ -n "$hit" ] && { echo "$stderr" >&2; exit 1; }
[ "$fault" = after ] && [ -n "$hit" ] || exec "$tool" "$@"
"$tool" "$@"
echo "$stderr" >&2
exit 1
`;
}
