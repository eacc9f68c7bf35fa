/**
 * The format of btrfs send streams, versions 1 and 2, as tables (fs/btrfs/send.h of Linux 6.18, kernel-shared/send.h of
 * btrfs-progs 6.2, which receives both). Version 3 exists in debug kernels only.
 *
 * A stream is its magic, its version as u32, and commands up to END. A command is its length without header (u32), its code
 * (u16), the crc32c of all of it (u32, seed 0, taken with this field zero), and attributes: code (u16), length (u16), value.
 * In version 2 the attribute `data` has no length and goes to the end of the command. All numbers are little-endian.
 */
export const STREAM_MAGIC = Buffer.from('btrfs-stream\0', 'latin1');
export const STREAM_HEADER_BYTES = STREAM_MAGIC.length + 4;
export const COMMAND_HEADER_BYTES = 10;

/** The kernel's buffer for a command of version 1, header included; in version 2 it depends on the kernel (144 KiB in Linux 6.18). */
export const MOST_COMMAND_BYTES_V1 = 64 * 1024;

/** What a value is made of: a number or time of fixed length, a UUID, a path, other text without NUL, or any bytes. */
export type AttributeForm = 'u32' | 'u64' | 'uuid' | 'time' | 'path' | 'text' | 'bytes';

/** Length in bytes of the forms that have one. */
export const formBytes: Readonly<Partial<Record<AttributeForm, number>>> = { u32: 4, u64: 8, uuid: 16, time: 12 };

interface AttributeFormat {
  readonly code: number;
  readonly form: AttributeForm;
}

export const attributes = {
  uuid: { code: 1, form: 'uuid' },
  ctransid: { code: 2, form: 'u64' },
  ino: { code: 3, form: 'u64' },
  size: { code: 4, form: 'u64' },
  mode: { code: 5, form: 'u64' },
  uid: { code: 6, form: 'u64' },
  gid: { code: 7, form: 'u64' },
  rdev: { code: 8, form: 'u64' },
  ctime: { code: 9, form: 'time' },
  mtime: { code: 10, form: 'time' },
  atime: { code: 11, form: 'time' },
  otime: { code: 12, form: 'time' },
  xattr_name: { code: 13, form: 'text' },
  xattr_data: { code: 14, form: 'bytes' },
  path: { code: 15, form: 'path' },
  path_to: { code: 16, form: 'path' },
  path_link: { code: 17, form: 'text' },
  file_offset: { code: 18, form: 'u64' },
  data: { code: 19, form: 'bytes' },
  clone_uuid: { code: 20, form: 'uuid' },
  clone_ctransid: { code: 21, form: 'u64' },
  clone_path: { code: 22, form: 'path' },
  clone_offset: { code: 23, form: 'u64' },
  clone_len: { code: 24, form: 'u64' },
  fallocate_mode: { code: 25, form: 'u32' },
  fileattr: { code: 26, form: 'u64' },
  unencoded_file_len: { code: 27, form: 'u64' },
  unencoded_len: { code: 28, form: 'u64' },
  unencoded_offset: { code: 29, form: 'u64' },
  compression: { code: 30, form: 'u32' },
  encryption: { code: 31, form: 'u32' },
} as const satisfies Record<string, AttributeFormat>;

export type AttributeName = keyof typeof attributes;

interface CommandFormat {
  readonly code: number;
  readonly version: 1 | 2;
  /** Attributes that it has to have, and those that it may have; any other is not of the format. */
  readonly needs: readonly AttributeName[];
  readonly may?: readonly AttributeName[];
}

export const commands = {
  subvol: { code: 1, version: 1, needs: ['path', 'uuid', 'ctransid'] },
  snapshot: { code: 2, version: 1, needs: ['path', 'uuid', 'ctransid', 'clone_uuid', 'clone_ctransid'] },
  mkfile: { code: 3, version: 1, needs: ['path', 'ino'] },
  mkdir: { code: 4, version: 1, needs: ['path', 'ino'] },
  mknod: { code: 5, version: 1, needs: ['path', 'ino', 'mode', 'rdev'] },
  mkfifo: { code: 6, version: 1, needs: ['path', 'ino'], may: ['mode', 'rdev'] },
  mksock: { code: 7, version: 1, needs: ['path', 'ino'], may: ['mode', 'rdev'] },
  symlink: { code: 8, version: 1, needs: ['path', 'ino', 'path_link'] },
  rename: { code: 9, version: 1, needs: ['path', 'path_to'] },
  link: { code: 10, version: 1, needs: ['path', 'path_link'] },
  unlink: { code: 11, version: 1, needs: ['path'] },
  rmdir: { code: 12, version: 1, needs: ['path'] },
  set_xattr: { code: 13, version: 1, needs: ['path', 'xattr_name', 'xattr_data'] },
  remove_xattr: { code: 14, version: 1, needs: ['path', 'xattr_name'] },
  write: { code: 15, version: 1, needs: ['path', 'file_offset', 'data'] },
  clone: {
    code: 16,
    version: 1,
    needs: ['path', 'file_offset', 'clone_len', 'clone_uuid', 'clone_ctransid', 'clone_path', 'clone_offset'],
  },
  truncate: { code: 17, version: 1, needs: ['path', 'size'] },
  chmod: { code: 18, version: 1, needs: ['path', 'mode'] },
  chown: { code: 19, version: 1, needs: ['path', 'uid', 'gid'] },
  utimes: { code: 20, version: 1, needs: ['path', 'atime', 'mtime', 'ctime'], may: ['otime'] },
  end: { code: 21, version: 1, needs: [] },
  update_extent: { code: 22, version: 1, needs: ['path', 'file_offset', 'size'] },
  fallocate: { code: 23, version: 2, needs: ['path', 'fallocate_mode', 'file_offset', 'size'] },
  fileattr: { code: 24, version: 2, needs: ['path', 'fileattr'] },
  encoded_write: {
    code: 25,
    version: 2,
    needs: ['path', 'file_offset', 'unencoded_file_len', 'unencoded_len', 'unencoded_offset', 'compression', 'data'],
    may: ['encryption'],
  },
} as const satisfies Record<string, CommandFormat>;

export type CommandName = keyof typeof commands;

/** A row of the tables as the parser reads it; a set of attributes is a number with a bit for each code. */
export interface CommandRow {
  readonly name: CommandName;
  readonly version: 1 | 2;
  readonly needs: number;
  readonly allowed: number;
}

export interface AttributeRow {
  readonly name: AttributeName;
  readonly form: AttributeForm;
  readonly bytes: number | undefined;
}

const bitsOf = (names: readonly AttributeName[]): number =>
  names.reduce((bits, name) => bits | (1 << attributes[name].code), 0);

/** The row of each command and attribute at the index of its code. */
export const commandRows: readonly (CommandRow | undefined)[] = byCode(commands, (name, format: CommandFormat) => {
  const needs = bitsOf(format.needs);
  return { name, version: format.version, needs, allowed: needs | bitsOf(format.may ?? []) };
});

export const attributeRows: readonly (AttributeRow | undefined)[] = byCode(attributes, (name, { form }) => ({
  name,
  form,
  bytes: formBytes[form],
}));

function byCode<Name extends string, Format extends { readonly code: number }, Row>(
  table: Readonly<Record<Name, Format>>,
  rowOf: (name: Name, format: Format) => Row,
): (Row | undefined)[] {
  const rows: (Row | undefined)[] = [];
  for (const name in table) rows[table[name].code] = rowOf(name, table[name]);
  return rows;
}
