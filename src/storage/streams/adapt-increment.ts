import { Transform, type TransformCallback } from 'node:stream';
import { crc32c } from './crc32c.ts';
import { givesRights } from './file-mode.ts';
import {
  type AttributeName,
  attributes,
  COMMAND_HEADER_BYTES,
  type CommandName,
  commands,
  STREAM_HEADER_BYTES,
  STREAM_MAGIC,
} from './stream-format.ts';

const CODE_AT = 4;
const CRC_AT = 6;
const ATTRIBUTE_HEADER_BYTES = 4;
/** Commands that are changed. None carries data, so that each has a length to every attribute. */
const CHANGED: readonly number[] = [commands.snapshot.code, commands.clone.code, commands.chmod.code];
/** Behind a path: what it names is a directory, or the call fails (path_resolution(7)). */
const AS_DIRECTORY = Buffer.from('/.');

export interface Adaptation {
  /** Where the stream names the parent `from`, it names `to`. */
  readonly parent: { readonly from: string; readonly to: string };
  /** Whether a file may become setuid, or setgid where it can run. */
  readonly allowSetuid: boolean;
}

/**
 * A pass-through for an increment that was validated.
 *
 * It names another parent: receive looks for the parent by received UUID in the whole filesystem, takes the oldest, and refuses it when that
 * lies outside of its chroot (btrfs-progs 6.2, cmds/receive.c): a copy of the parent inside needs a received UUID of its own, see
 * {@link copyOfParent}.
 *
 * It makes nothing setuid or setgid but directories: whether a name of the parent is one only receive can tell. The path of such a
 * chmod gets an end that makes it fail for anything else.
 *
 * Memory: one command of those that it changes.
 */
export function adaptIncrement({ parent, allowSetuid }: Adaptation): Transform {
  const aliases = { from: uuidBytes(parent.from), to: uuidBytes(parent.to) };
  const adapted = (command: Buffer) => {
    // Nobody looked at its checksum before, and receive has to find one that is wrong.
    if (!withChecksum(Buffer.from(command)).equals(command)) return command;
    if (command.readUInt16LE(CODE_AT) !== commands.chmod.code) return renamed(command, aliases);
    return allowSetuid ? command : forDirectories(command);
  };
  let pending: Buffer = Buffer.alloc(0);
  let headerBytes = STREAM_HEADER_BYTES;
  let passBytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
      let rest = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      while (rest.length > 0) {
        if (passBytes > 0) {
          const bytes = Math.min(passBytes, rest.length);
          this.push(rest.subarray(0, bytes));
          passBytes -= bytes;
          rest = rest.subarray(bytes);
          continue;
        }
        if (headerBytes > 0) {
          passBytes = headerBytes;
          headerBytes = 0;
          continue;
        }
        if (rest.length < COMMAND_HEADER_BYTES) break;
        const length = COMMAND_HEADER_BYTES + rest.readUInt32LE(0);
        if (!CHANGED.includes(rest.readUInt16LE(CODE_AT))) {
          passBytes = length;
          continue;
        }
        if (rest.length < length) break;
        this.push(adapted(rest.subarray(0, length)));
        rest = rest.subarray(length);
      }
      pending = rest;
      done();
    },
    flush(done: TransformCallback) {
      done(null, pending);
    },
  });
}

/** The command with the other parent; as it is if it names something else. */
function renamed(command: Buffer, { from, to }: { readonly from: Buffer; readonly to: Buffer }): Buffer {
  const at = attributeIn(command, 'clone_uuid');
  if (at === undefined || !command.subarray(at.start, at.end).equals(from)) return command;
  const other = Buffer.from(command);
  to.copy(other, at.start);
  return withChecksum(other);
}

/** The chmod, which fails unless its path is that of a directory if it gives rights to whoever runs a file. */
function forDirectories(command: Buffer): Buffer {
  const [mode, path] = [attributeIn(command, 'mode'), attributeIn(command, 'path')];
  if (mode === undefined || path === undefined || !givesRights(command.readBigUInt64LE(mode.start))) return command;
  // The subvolume itself has an empty path, and is a directory.
  if (path.start === path.end) return command;
  const other = Buffer.concat([command.subarray(0, path.end), AS_DIRECTORY, command.subarray(path.end)]);
  other.writeUInt16LE(path.end - path.start + AS_DIRECTORY.length, path.start - 2);
  other.writeUInt32LE(other.length - COMMAND_HEADER_BYTES, 0);
  return withChecksum(other);
}

/** Where the value of an attribute is. */
function attributeIn(
  command: Buffer,
  name: AttributeName,
): { readonly start: number; readonly end: number } | undefined {
  for (let at = COMMAND_HEADER_BYTES; at + ATTRIBUTE_HEADER_BYTES <= command.length; ) {
    const start = at + ATTRIBUTE_HEADER_BYTES;
    const end = start + command.readUInt16LE(at + 2);
    if (command.readUInt16LE(at) === attributes[name].code) return { start, end };
    at = end;
  }
  return undefined;
}

/** A whole stream that makes a read-only subvolume `name` of the content of `parent`, known by the received UUID `uuid`. */
export function copyOfParent(name: string, uuid: string, parent: string): Buffer {
  const header = Buffer.alloc(STREAM_HEADER_BYTES);
  STREAM_MAGIC.copy(header);
  header.writeUInt32LE(1, STREAM_MAGIC.length);
  const one = Buffer.alloc(8);
  one.writeBigUInt64LE(1n);
  const snapshot = commandOf('snapshot', [
    ['path', Buffer.from(name)],
    ['uuid', uuidBytes(uuid)],
    ['ctransid', one],
    ['clone_uuid', uuidBytes(parent)],
    ['clone_ctransid', one],
  ]);
  return Buffer.concat([header, snapshot, commandOf('end', [])]);
}

function commandOf(name: CommandName, values: readonly (readonly [AttributeName, Buffer])[]): Buffer {
  const body = values.map(([attribute, value]) => {
    const header = Buffer.alloc(ATTRIBUTE_HEADER_BYTES);
    header.writeUInt16LE(attributes[attribute].code, 0);
    header.writeUInt16LE(value.length, 2);
    return Buffer.concat([header, value]);
  });
  const header = Buffer.alloc(COMMAND_HEADER_BYTES);
  const command = Buffer.concat([header, ...body]);
  command.writeUInt32LE(command.length - COMMAND_HEADER_BYTES, 0);
  command.writeUInt16LE(commands[name].code, CODE_AT);
  return withChecksum(command);
}

/** The checksum covers the command with zeros in its own place. */
function withChecksum(command: Buffer): Buffer {
  command.writeUInt32LE(0, CRC_AT);
  command.writeUInt32LE(crc32c(0, command), CRC_AT);
  return command;
}

function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}
