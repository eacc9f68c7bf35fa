import { MIN_KERNEL } from '../../api/group.ts';

/**
 * Below this the agent places nothing: what others have written is mounted with nosymfollow, which comes with 5.10; an older kernel
 * would follow their symlinks. (losetup relies on LOOP_CONFIGURE and btrfs on fixes, both of 5.8.)
 */
const [MIN_MAJOR, MIN_MINOR] = parseKernelRelease(MIN_KERNEL);

/** Parses `6.1.0-13-amd64` or `5.10` into major and minor. Throws on anything else. */
export function parseKernelRelease(release: string): readonly [major: number, minor: number] {
  const match = release.match(/^(\d{1,4})\.(\d{1,4})(?:[.\-+_].*)?$/);
  if (match === null) throw new TypeError(`not a kernel release: ${JSON.stringify(release)}`);
  return [Number(match[1]), Number(match[2])];
}

export function isKernelSupported(release: string): boolean {
  const [major, minor] = parseKernelRelease(release);
  return major > MIN_MAJOR || (major === MIN_MAJOR && minor >= MIN_MINOR);
}
