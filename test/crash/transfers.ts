import { readdirSync, readFileSync } from 'node:fs';

/** Commands that still send or receive below a root directory. */
export function transfersOf(rootPath: string): string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return ''; // it has ended
      }
    })
    .filter((command) => /^btrfs (send|receive) /.test(command) && command.includes(`${rootPath}/`));
}
