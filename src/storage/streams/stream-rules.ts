import { givesRights } from './file-mode.ts';
import type { MadeKind, MadeNames } from './made-names.ts';
import type { StreamCommand } from './stream-command.ts';
import { quoted, refuse, refusePath } from './stream-complaint.ts';
import type { AttributeName, CommandName } from './stream-format.ts';
import { parsePath, parseSubvolumeName } from './stream-path.ts';

const NO_UUID = '00000000-0000-0000-0000-000000000000';
const [FILE_TYPE, CHARACTER_DEVICE, BLOCK_DEVICE] = [0o170000n, 0o020000n, 0o060000n];
const ALL_PERMISSIONS = 0o7777n;
/** FALLOC_FL_KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE: all that btrfs does. */
const FALLOCATE_MODES = 0x01 | 0x02 | 0x10;
const MOST_XATTR_NAME_BYTES = 255;

/** What a stream may do. Whiteouts of overlayfs, and setgid on directories, are always allowed: they give no rights. */
export interface StreamPermissions {
  readonly allowDeviceNodes: boolean;
  /** Also file capabilities, and setgid files that can run. */
  readonly allowSetuid: boolean;
  /**
   * Whether an increment may clone from files of its parent, as `btrfs send -p` makes it do for files that were reflinked or moved.
   * NOTE: receive opens them as root by a path that starts outside of its chroot, and follows the parent's symlinks: `../` in one leads
   * to any file of the host, which is opened and, on the same filesystem, copied. Allow it only on a mount with nosymfollow (Linux 5.10).
   */
  readonly allowParentClones: boolean;
  /** UUIDs or received UUIDs of which one has to be the parent of an increment; any if absent, none if empty (full streams only). */
  readonly parentUuids?: readonly string[];
}

/** What the first command of a stream says of it. */
export interface StreamSubject {
  readonly kind: 'full' | 'incremental';
  /** One name, its bytes as latin1. */
  readonly name: string;
  /** What becomes the received UUID. */
  readonly uuid: string;
  readonly ctransid: number;
  readonly parentUuid?: string;
  readonly parentCtransid?: number;
}

/** What the rules know of a stream while they go through it. */
export interface Scene {
  readonly subject: StreamSubject;
  readonly made: MadeNames;
  readonly permissions: StreamPermissions;
}

type Rule = (command: StreamCommand, scene: Scene) => void;

/** What the first command has to be. Throws for any other, and for a parent that is not asked for. */
export function subjectOf(command: StreamCommand, { parentUuids }: StreamPermissions): StreamSubject {
  if (command.name !== 'subvol' && command.name !== 'snapshot')
    refuse('it comes before the command that makes the subvolume');
  const subject = {
    name: parseSubvolumeName(command.text('path')),
    uuid: command.uuid('uuid'),
    ctransid: numberOf(command, 'ctransid'),
  };
  if (subject.uuid === NO_UUID) refuse('the UUID of the subvolume is zero');
  if (command.name === 'subvol') return { kind: 'full', ...subject };
  const parentUuid = command.uuid('clone_uuid');
  if (parentUuids !== undefined && !parentUuids.includes(parentUuid))
    refuse(`it is an increment on the subvolume ${parentUuid}, which is not what it may build on`);
  return { kind: 'incremental', ...subject, parentUuid, parentCtransid: numberOf(command, 'clone_ctransid') };
}

/** Throws when a command after the first one does what no stream may; notes what it makes. */
export function applyRule(command: StreamCommand, scene: Scene): void {
  rules[command.name](command, scene);
}

const makes =
  (kind: MadeKind): Rule =>
  (command, { made }) =>
    made.make(pathOf(command), kind);

/** The command does not follow a symlink in the last name: any kind of file will do. */
const touches: Rule = (command, { made }) => void made.kindOf(pathOf(command));

const writes: Rule = (command, { made }) => refuseIrregular(pathOf(command), made);

const again: Rule = () => refuse('it makes a second subvolume');

const rules: Readonly<Record<CommandName, Rule>> = {
  subvol: again,
  snapshot: again,
  mkfile: (command, { made }) => made.refuseExisting(pathOf(command)),
  mkdir: makes('directory'),
  mkfifo: makes('special file'),
  mksock: makes('special file'),
  symlink: (command, { made }) => {
    parseLinkTarget(command);
    made.make(pathOf(command), 'symlink');
  },
  mknod(command, { made, permissions }) {
    const type = command.u64('mode') & FILE_TYPE;
    if (type !== CHARACTER_DEVICE && type !== BLOCK_DEVICE) refuse('it makes neither a character nor a block device');
    const path = pathOf(command);
    made.make(path, 'special file');
    if (permissions.allowDeviceNodes || isWhiteout(type, command.u64('rdev'))) return;
    refusePath(path, (shown) => `it makes the device node ${shown}, which the configuration does not allow`);
  },
  rename: (command, { made }) => made.move(pathOf(command), pathOf(command, 'path_to')),
  link(command, { made }) {
    const kind = made.kindOf(pathOf(command, 'path_link'));
    if (kind === 'directory') refuse(`it makes a hard link to the directory ${quoted(command.text('path_link'))}`);
    if (kind === 'unknown') made.refuseExisting(pathOf(command));
    else made.make(pathOf(command), kind);
  },
  unlink: (command, { made }) => made.remove(pathOf(command)),
  rmdir: (command, { made }) => made.remove(pathOf(command)),
  set_xattr(command, { made, permissions }) {
    const path = pathOf(command);
    made.kindOf(path);
    if (parseXattrName(command) === 'security.capability' && !permissions.allowSetuid)
      refusePath(path, (shown) => `it gives capabilities to ${shown}, which the configuration does not allow`);
  },
  remove_xattr(command, { made }) {
    parseXattrName(command);
    made.kindOf(pathOf(command));
  },
  write: writes,
  truncate: writes,
  clone(command, scene) {
    refuseIrregular(pathOf(command), scene.made);
    checkCloneSource(command, scene);
  },
  chmod: checkMode,
  chown: touches,
  utimes: touches,
  fileattr: touches,
  update_extent: () => refuse('it stands for data that is not in the stream (btrfs send --no-data)'),
  fallocate(command, { made }) {
    const mode = command.u32('fallocate_mode');
    if ((mode & ~FALLOCATE_MODES) !== 0) refuse(`the mode ${mode} of fallocate is unknown`);
    refuseIrregular(pathOf(command), made);
  },
  // NOTE: where the kernel does not take it receive unfolds it by itself, and btrfs-progs 6.2 writes past its buffer for LZO.
  encoded_write: () => refuse('its data is compressed; make the stream with btrfs send without --compressed-data'),
  end: () => undefined,
};

function pathOf(command: StreamCommand, name: AttributeName = 'path'): readonly string[] {
  // The target of a hard link is an attribute of free text, as it is the target of a symlink too.
  return parsePath(name === 'path' ? 'the path' : `the path in ${name}`, command.text(name));
}

/** Content belongs into regular files: receive would follow a symlink, and wait for ever for the other end of a fifo. */
function refuseIrregular(path: readonly string[], made: MadeNames): void {
  const kind = made.kindOf(path);
  if (kind !== 'unknown') refuse(`${quoted(path.join('/'))} is no regular file, but a ${kind} of the stream`);
}

/** What overlayfs (podman, buildkit) puts in the place of what was deleted: no device is behind it, and whoever wants makes one (mknod(2)). */
function isWhiteout(type: bigint, device: bigint): boolean {
  return type === CHARACTER_DEVICE && device === 0n;
}

function checkMode(command: StreamCommand, { made, permissions, subject }: Scene): void {
  const mode = command.u64('mode');
  const path = pathOf(command);
  const kind = made.kindOf(path);
  if (mode > ALL_PERMISSIONS) refuse(`the mode ${mode.toString(8)} is more than permissions`);
  if (kind === 'symlink') refuse(`${quoted(path.join('/'))} is a symlink of the stream`);
  if (permissions.allowSetuid || !givesRights(mode)) return;
  // On what can't be run the bits give nobody rights. Whether a name of the parent is a directory receive finds out: see adaptIncrement.
  if (kind !== 'unknown' || subject.kind === 'incremental') return;
  refusePath(
    path,
    (shown) => `it makes ${shown} setuid or setgid, which the configuration allows for directories only`,
  );
}

function checkCloneSource(command: StreamCommand, { made, permissions, subject }: Scene): void {
  const uuid = command.uuid('clone_uuid');
  const path = pathOf(command, 'clone_path');
  if (uuid === subject.uuid) refuseIrregular(path, made);
  else if (uuid !== subject.parentUuid)
    refuse(`it clones from the subvolume ${uuid}, which is neither its own nor its parent`);
  else if (!permissions.allowParentClones) refuse('it clones from the parent, which is not allowed here');
}

function parseLinkTarget(command: StreamCommand): void {
  const target = command.text('path_link');
  if (target === '' || target.includes('\0')) refuse(`the target ${quoted(target)} of the symlink is no path`);
}

function parseXattrName(command: StreamCommand): string {
  const name = command.text('xattr_name');
  if (name === '' || name.includes('\0') || name.length > MOST_XATTR_NAME_BYTES)
    refuse(`the name ${quoted(name)} of the extended attribute is none`);
  return name;
}

function numberOf(command: StreamCommand, name: AttributeName): number {
  const value = command.u64(name);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) refuse(`the number ${value} in ${name} is too large`);
  return Number(value);
}
