/**
 * Mount options for what others have written, wherever the operator mounts that for itself: they give no device, setuid bit,
 * program or symlink any meaning (nosymfollow: Linux 5.10), and reading changes nothing.
 */
export const FOREIGN_OPTIONS = ['nosuid', 'nodev', 'noexec', 'nosymfollow', 'noatime'] as const;
