import { readFile } from 'node:fs/promises';

/** True while the process waits in the kernel for what can't be interrupted (state D); false when it is gone. */
export async function isUninterruptible(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in parentheses may hold anything, and more of them.
  return text
    .slice(text.lastIndexOf(')') + 1)
    .trimStart()
    .startsWith('D');
}
