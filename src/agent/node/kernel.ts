/** Below this the agent places nothing: losetup relies on LOOP_CONFIGURE, btrfs on fixes of 5.8. */
const MIN_KERNEL = [5, 8] as const;

/** Parses `6.1.0-13-amd64` or `5.8` into major and minor. Throws on anything else. */
export function parseKernelRelease(release: string): readonly [major: number, minor: number] {
  const match = release.match(/^(\d{1,4})\.(\d{1,4})(?:[.\-+_].*)?$/);
  if (match === null) throw new TypeError(`not a kernel release: ${JSON.stringify(release)}`);
  return [Number(match[1]), Number(match[2])];
}

export function isKernelSupported(release: string): boolean {
  const [major, minor] = parseKernelRelease(release);
  return major > MIN_KERNEL[0] || (major === MIN_KERNEL[0] && minor >= MIN_KERNEL[1]);
}
