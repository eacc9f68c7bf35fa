import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { waitFor } from '../cluster/wait-for.ts';
import { commandPathWith } from './storage/store.ts';

/**
 * A `btrfs` in the PATH of an agent that waits where a test wants it to: what comes to pass meanwhile comes in the middle of
 * a pass.
 */
export function makeHeldCommand(dir: string) {
  const shimsPath = path.join(dir, 'held-command');
  mkdirSync(shimsPath);
  const [holdPath, heldPath] = [path.join(shimsPath, 'hold'), path.join(shimsPath, 'held')];
  const script = `#!/bin/bash
PATH=\${PATH#${shimsPath}:}
if [ -e ${holdPath} ] && [[ "$*" == *"$(cat ${holdPath})"* ]]; then
  touch ${heldPath}
  while [ -e ${holdPath} ]; do sleep 0.05; done
fi
exec btrfs "$@"
`;
  writeFileSync(path.join(shimsPath, 'btrfs'), script, { mode: 0o755 });
  return {
    commandPath: commandPathWith(shimsPath),
    /** Each command whose arguments contain `words` waits from now on. */
    hold(words: string): void {
      rmSync(heldPath, { force: true });
      writeFileSync(holdPath, words);
    },
    /** Resolves when a command waits. */
    held: () => waitFor(() => existsSync(heldPath), { what: 'a command that is held', timeoutMs: 15_000 }),
    letGo: () => rmSync(holdPath, { force: true }),
  };
}
