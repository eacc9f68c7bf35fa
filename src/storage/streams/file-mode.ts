const [SETUID, SETGID, GROUP_EXECUTE] = [0o4000n, 0o2000n, 0o010n];

/** True for a mode that lets whoever runs a file have the rights of its owner or group. Without `x` for the group setgid does not (execve(2)). */
export function givesRights(mode: bigint): boolean {
  return (mode & SETUID) !== 0n || ((mode & SETGID) !== 0n && (mode & GROUP_EXECUTE) !== 0n);
}
