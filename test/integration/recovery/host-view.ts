import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** Runs a tool to its end and gives its stdout; throws with what it said. */
export function sh(file: string, ...args: readonly string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 }).trim();
}

/** Loop devices of a file, by device and inode as the kernel has them: the path it shows may mislead. */
export function loopsOf(filePath: string): string[] {
  const { ino, dev } = statSync(filePath);
  const listed = sh('losetup', '--list', '--json', '--output', 'NAME,BACK-INO,BACK-MAJ:MIN');
  const devices: Record<string, string>[] = listed === '' ? [] : JSON.parse(listed).loopdevices;
  return devices
    .filter((each) => String(each['back-ino']) === String(ino) && each['back-maj:min']?.trim() === majorMinor(dev))
    .map(({ name = '' }) => name);
}

/** How glibc packs a device number (makedev(3)), for devices with small numbers. */
function majorMinor(device: number): string {
  return `${(device >> 8) & 0xfff}:${(device & 0xff) | ((device >> 12) & 0xfff00)}`;
}

/** Mounts at or below a path as `device mountpoint`, with the id that a mount has for its whole life. */
export function mountsBelow(dirPath: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , , , at = '']) => at === dirPath || at.startsWith(`${dirPath}/`))
    .map(([id, , device, , at]) => `${id} ${device} ${at}`)
    .toSorted();
}

export function isLive(filesystemUUID: string | undefined): boolean {
  return readdirSync('/sys/fs/btrfs').includes(filesystemUUID ?? 'no uuid');
}

export interface Holder extends AsyncDisposable {
  /** Its mount namespace has ended. */
  end(): Promise<void>;
}

/**
 * A process in a mount namespace of its own that has the mount at `mountPath`, as a pod has, and no other loop device's mount:
 * those are other tests'.
 */
export async function holdMount(mountPath: string): Promise<Holder> {
  const script = `
    awk '/ - [^ ]+ \\/dev\\/loop/ { print $5 }' /proc/self/mountinfo | tac | while read -r at; do
      [ "$at" = "$1" ] || umount "$at" 2>/dev/null
    done
    echo held; exec sleep 600`;
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', mountPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return { end, [Symbol.asyncDispose]: end };
}

export interface Ext4Loop extends Disposable {
  readonly imagePath: string;
  readonly mountPath: string;
  readonly loopPath: string;
}

/** A small ext4 on a loop device, mounted at `dir/name`: somebody else's disk, or one that can be filled up. */
export function mountExt4(dir: string, name: string, sizeMebibytes: number): Ext4Loop {
  const imagePath = path.join(dir, `${name}.ext4`);
  const mountPath = path.join(dir, name);
  sh('truncate', `--size=${sizeMebibytes}M`, imagePath);
  sh('mkfs.ext4', '-q', '-m', '0', imagePath);
  sh('mkdir', '-p', mountPath);
  sh('mount', '-o', 'loop', imagePath, mountPath);
  const [loopPath = ''] = loopsOf(imagePath);
  return {
    imagePath,
    mountPath,
    loopPath,
    [Symbol.dispose]: () => void sh('umount', mountPath),
  };
}
