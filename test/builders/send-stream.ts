import { crc32c } from '../../src/storage/streams/crc32c.ts';
import {
  type AttributeName,
  attributes,
  COMMAND_HEADER_BYTES,
  type CommandName,
  commands,
  formBytes,
  STREAM_HEADER_BYTES,
  STREAM_MAGIC,
} from '../../src/storage/streams/stream-format.ts';

export type StreamVersion = 1 | 2;
/** Text becomes its bytes as latin1, a number as many bytes as the attribute has. */
export type Value = string | number | bigint | Buffer;
export type Values = Readonly<Partial<Record<AttributeName, Value>>>;

export const UUID = Buffer.from('0b7ea0c1d2e3f405162738495a6b7c8d', 'hex');
export const PARENT_UUID = Buffer.from('aaaaaaaabbbb4cccaddd111111111111', 'hex');
export const FOREIGN_UUID = Buffer.from('ffffffffbbbb4cccaddd222222222222', 'hex');

/** cap_net_bind_service, permitted and effective, in version 2 of the attribute. */
export const CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex');

/** What attributes are when a test does not care. */
const usual: Values = {
  path: 'file',
  path_to: 'renamed',
  path_link: 'target',
  uuid: UUID,
  clone_uuid: UUID,
  clone_path: 'source',
  xattr_name: 'user.note',
  xattr_data: 'value',
  data: 'content',
  mode: 0o644,
  unencoded_len: 4096,
  unencoded_file_len: 4096,
  compression: 2,
  fallocate_mode: 1,
};

/** The header of a stream and what follows it. */
export function streamOf(version: number, ...parts: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(STREAM_HEADER_BYTES);
  STREAM_MAGIC.copy(header);
  header.writeUInt32LE(version, STREAM_MAGIC.length);
  return Buffer.concat([header, ...parts]);
}

/** A command with all the attributes that it needs and those given, in the order of the table, with the right checksum. */
export function command(name: CommandName, values: Values = {}, version: StreamVersion = 1): Buffer {
  const names = new Set<AttributeName>([...commands[name].needs, ...(Object.keys(values) as AttributeName[])]);
  // Without a length, data has to be the last one.
  const ordered = [...names].toSorted((a, b) => Number(a === 'data') - Number(b === 'data'));
  const body = ordered.map((each) => attribute(each, values[each] ?? usual[each] ?? 0, version));
  return rawCommand(commands[name].code, Buffer.concat(body));
}

export function attribute(name: AttributeName, value: Value, version: StreamVersion = 1): Buffer {
  const { code, form } = attributes[name];
  return rawAttribute(code, bytesOf(value, formBytes[form] ?? 8), version === 2 && name === 'data');
}

export function rawAttribute(code: number, value: Buffer, withoutLength = false, length = value.length): Buffer {
  const header = Buffer.alloc(withoutLength ? 2 : 4);
  header.writeUInt16LE(code);
  if (!withoutLength) header.writeUInt16LE(length, 2);
  return Buffer.concat([header, value]);
}

export function rawCommand(code: number, body: Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(COMMAND_HEADER_BYTES), body]);
  bytes.writeUInt32LE(body.length);
  bytes.writeUInt16LE(code, 4);
  return withChecksum(bytes);
}

/** The same command with the checksum that its bytes should have. */
export function withChecksum(given: Buffer): Buffer {
  const bytes = Buffer.from(given);
  bytes.writeUInt32LE(0, 6);
  bytes.writeUInt32LE(crc32c(0, bytes), 6);
  return bytes;
}

/** The commands of a stream, as views of it; without the last one if that is cut off. */
export function commandsOf(stream: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = STREAM_HEADER_BYTES; at + COMMAND_HEADER_BYTES <= stream.length; ) {
    const end = at + COMMAND_HEADER_BYTES + stream.readUInt32LE(at);
    if (end <= stream.length) found.push(stream.subarray(at, end));
    at = end;
  }
  return found;
}

export const subvol = (values: Values = {}): Buffer => command('subvol', { path: 'received', ctransid: 7, ...values });

export const snapshot = (values: Values = {}): Buffer =>
  command('snapshot', { path: 'received', ctransid: 9, clone_uuid: PARENT_UUID, clone_ctransid: 7, ...values });

export const end = (): Buffer => command('end');

/** A whole stream with these commands in it. */
export const full = (...parts: readonly Buffer[]): Buffer => streamOf(1, subvol(), ...parts, end());
export const full2 = (...parts: readonly Buffer[]): Buffer => streamOf(2, subvol(), ...parts, end());
export const increment = (...parts: readonly Buffer[]): Buffer => streamOf(1, snapshot(), ...parts, end());

function bytesOf(value: Value, length: number): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === 'string') return Buffer.from(value, 'latin1');
  const bytes = Buffer.alloc(length);
  let rest = BigInt(value);
  for (let at = 0; at < length; at++, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  return bytes;
}
