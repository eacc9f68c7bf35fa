import { Transform, type TransformCallback } from 'node:stream';
import { crc32c } from './crc32c.ts';
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
const UUID_BYTES = 16;
/** Commands that name the parent. Neither carries data, so that each has a length to every attribute. */
const NAMING: readonly number[] = [commands.snapshot.code, commands.clone.code];

/**
 * A pass-through for a stream that was validated: where it names the parent `from`, it names `to`. Receive looks for the parent by
 * received UUID in the whole filesystem, takes the oldest, and refuses it when that lies outside of its chroot (btrfs-progs 6.2, cmds/receive.c):
 * a copy of the parent inside needs a received UUID of its own, see {@link copyOfParent}. Memory: one command that names a parent.
 */
export function aliasParent(from: string, to: string): Transform {
  const aliases = { from: uuidBytes(from), to: uuidBytes(to) };
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
        if (!NAMING.includes(rest.readUInt16LE(CODE_AT))) {
          passBytes = length;
          continue;
        }
        if (rest.length < length) break;
        this.push(renamed(rest.subarray(0, length), aliases));
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

/**
 * The command with the other parent and the checksum for it; as it is if it names something else, or its checksum is wrong: nobody
 * looked at that before, and receive has to find it.
 */
function renamed(command: Buffer, { from, to }: { readonly from: Buffer; readonly to: Buffer }): Buffer {
  if (!withChecksum(Buffer.from(command)).equals(command)) return command;
  for (let at = COMMAND_HEADER_BYTES; at + ATTRIBUTE_HEADER_BYTES <= command.length; ) {
    const valueAt = at + ATTRIBUTE_HEADER_BYTES;
    const isParent = command.readUInt16LE(at) === attributes.clone_uuid.code;
    if (isParent && command.subarray(valueAt, valueAt + UUID_BYTES).equals(from)) {
      const other = Buffer.from(command);
      to.copy(other, valueAt);
      return withChecksum(other);
    }
    at = valueAt + command.readUInt16LE(at + 2);
  }
  return command;
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
