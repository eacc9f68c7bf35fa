import type { Command } from './command.ts';

/** What a stream may make of the files that it brings. */
export interface ReceivedRights {
  readonly allowDeviceNodes: boolean;
  /** Also setgid files and file capabilities. */
  readonly allowSetuid: boolean;
}

/**
 * What receive works with: owners, modes and content of any file; the ioctls of btrfs that look for a parent, and attributes in
 * `trusted.`, which both need CAP_SYS_ADMIN; the chroot.
 */
const CAPABILITIES = ['chown', 'dac_override', 'fowner', 'fsetid', 'sys_admin', 'sys_chroot'];
/** Receive keeps one command, some paths and a clone's files: far below this, and a length that lies is no way to the node's memory. */
const MEMORY_BYTES = 1024 ** 3;
const OPEN_FILES = 64;

type Typed = Pick<Command, 'file' | 'args'>;

/**
 * A command that reads what outsiders have written, with as few rights as receive needs: no network, no shared memory of
 * others, no capability that it has no use for and no way to get one back, little memory, no core dump. It stays one process, which a
 * signal reaches (unshare(1), setpriv(1), prlimit(1); util-linux 2.38).
 */
export function confined(command: Typed, rights: ReceivedRights): Typed {
  const capabilities = [
    ...CAPABILITIES,
    ...(rights.allowDeviceNodes ? ['mknod'] : []),
    ...(rights.allowSetuid ? ['setfcap'] : []),
  ].map((name) => `+${name}`);
  const around: readonly Typed[] = [
    { file: 'unshare', args: ['--net', '--ipc', '--uts'] },
    {
      file: 'setpriv',
      args: ['--no-new-privs', '--inh-caps=-all', `--bounding-set=-all,${capabilities.join(',')}`],
    },
    { file: 'prlimit', args: ['--core=0', `--as=${MEMORY_BYTES}`, `--nofile=${OPEN_FILES}`] },
  ];
  return around.reduceRight(
    (inner, { file, args }) => ({ file, args: [...args, '--', inner.file, ...inner.args] }),
    command,
  );
}
