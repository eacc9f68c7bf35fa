import { readdir, readFile, readlink } from 'node:fs/promises';
import { parseMountinfo } from './mountinfo.ts';

/**
 * True when a mount namespace of another process that can be seen from here has a mount of this device (`major:minor`): a pod's,
 * or another container's. Reads /proc only, which never waits for a device.
 */
export async function isMountedElsewhere(device: string): Promise<boolean> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const seen = new Set([await readlink('/proc/self/ns/mnt')]);
  for (const pid of pids) {
    // A process may end meanwhile.
    const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(() => undefined);
    if (namespace === undefined || seen.has(namespace)) continue;
    seen.add(namespace);
    const text = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '');
    if (parseMountinfo(text).some((mount) => mount.device === device)) return true;
  }
  return false;
}
