import { crc32c } from './crc32c.ts';
import { StreamCommand } from './stream-command.ts';
import { complainOfDamage, refuse, StreamComplaint } from './stream-complaint.ts';
import {
  attributeRows,
  attributes,
  COMMAND_HEADER_BYTES,
  commandRows,
  MOST_COMMAND_BYTES_V1,
  STREAM_HEADER_BYTES,
  STREAM_MAGIC,
} from './stream-format.ts';

const ATTRIBUTE_CODE_BYTES = 2;
const ATTRIBUTE_LENGTH_BYTES = 2;
const CRC_AT = 6;

/**
 * Cuts a send stream into commands, whatever its chunks are: a command is seen in place when a chunk holds all of it, and is
 * copied together else. Memory: one command. Throws {@link StreamComplaint}.
 *
 * Checksums are looked at only where something is wrong: `btrfs receive` checks each of them before it acts, and a hostile
 * stream has the right ones.
 */
export class StreamParser {
  /** Version of the stream, once its header was read. */
  version = 0;
  /** True after the END command. */
  ended = false;
  /** Where the command that is being looked at begins, in bytes from the start of the stream. */
  offset = 0;
  readonly command = new StreamCommand();
  readonly #maxCommandBytes: number;
  readonly #onCommand: (command: StreamCommand) => void;
  /** The beginning of a command whose end is in a later chunk. */
  #pending = Buffer.alloc(STREAM_HEADER_BYTES);
  #pendingBytes = 0;

  constructor(maxCommandBytes: number, onCommand: (command: StreamCommand) => void) {
    this.#maxCommandBytes = maxCommandBytes;
    this.#onCommand = onCommand;
  }

  /** Every command that ends in the chunk has been looked at afterwards. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#pendingBytes > 0) {
        at += this.#complete(chunk.subarray(at));
        continue;
      }
      const bytes = this.#unitBytes(chunk, at, chunk.length - at);
      const unit = chunk.subarray(at, at + bytes);
      if (unit.length < bytes) this.#keep(unit);
      else this.#read(unit);
      at += bytes;
    }
  }

  /** Throws unless the stream was whole. */
  finish(): void {
    if (!this.ended) complainOfDamage('it ends without an end marker');
  }

  /** Adds to what is pending, up to the end of its header or of the command; returns how many bytes of the chunk it took. */
  #complete(chunk: Buffer): number {
    const missing = this.#unitBytes(this.#pending, 0, this.#pendingBytes) - this.#pendingBytes;
    const taken = Math.min(missing, chunk.length);
    this.#keep(chunk.subarray(0, taken));
    if (taken < missing || this.#unitBytes(this.#pending, 0, this.#pendingBytes) > this.#pendingBytes) return taken;
    const unit = this.#pending.subarray(0, this.#pendingBytes);
    this.#pendingBytes = 0;
    this.#read(unit);
    return taken;
  }

  #keep(bytes: Buffer): void {
    const length = this.#pendingBytes + bytes.length;
    if (length > this.#pending.length) {
      // The largest there can be at once: growing step by step would copy again and again.
      const larger = Buffer.allocUnsafe(Math.max(length, this.#mostBytes()));
      this.#pending.copy(larger, 0, 0, this.#pendingBytes);
      this.#pending = larger;
    }
    bytes.copy(this.#pending, this.#pendingBytes);
    this.#pendingBytes = length;
  }

  #mostBytes(): number {
    return this.version === 1 ? Math.min(MOST_COMMAND_BYTES_V1, this.#maxCommandBytes) : this.#maxCommandBytes;
  }

  /** Length of the header of the stream or of a command; of the header only while that is not whole. */
  #unitBytes(bytes: Buffer, start: number, available: number): number {
    if (this.version === 0) return STREAM_HEADER_BYTES;
    if (this.ended) refuse('there is data after the end marker');
    if (available < COMMAND_HEADER_BYTES) return COMMAND_HEADER_BYTES;
    const length = COMMAND_HEADER_BYTES + bytes.readUInt32LE(start);
    if (length > this.#mostBytes())
      refuse(`the next command has ${length} bytes, and ${this.#mostBytes()} is the most that is taken`);
    return length;
  }

  #read(unit: Buffer): void {
    if (this.version === 0) this.#readHeader(unit);
    else this.#readCommand(unit);
    this.offset += unit.length;
  }

  #readHeader(unit: Buffer): void {
    if (!unit.subarray(0, STREAM_MAGIC.length).equals(STREAM_MAGIC)) refuse('it is no btrfs send stream');
    const version = unit.readUInt32LE(STREAM_MAGIC.length);
    if (version !== 1 && version !== 2) refuse(`its version is ${version}, and only 1 and 2 are taken`);
    this.version = version;
  }

  #readCommand(unit: Buffer): void {
    try {
      this.#parse(unit);
      this.#onCommand(this.command);
    } catch (error) {
      if (error instanceof StreamComplaint && !hasRightChecksum(unit)) complainOfDamage('its checksum is wrong');
      throw error;
    }
    this.ended = this.command.name === 'end';
  }

  #parse(unit: Buffer): void {
    const code = unit.readUInt16LE(4);
    const row = commandRows[code];
    this.command.reset(row?.name ?? 'end', unit);
    if (row === undefined) refuse(`the command ${code} is unknown`);
    if (row.version > this.version) refuse(`a stream of version ${this.version} has no such command`);
    let at = COMMAND_HEADER_BYTES;
    while (at < unit.length) at = this.#parseAttribute(unit, at);
    const { present } = this.command;
    const missing = row.needs & ~present;
    if (missing !== 0) refuse(`it lacks the attribute ${nameOfLowest(missing)}`);
    const superfluous = present & ~row.allowed;
    if (superfluous !== 0) refuse(`the attribute ${nameOfLowest(superfluous)} does not belong to it`);
  }

  /** Returns where the next one begins. */
  #parseAttribute(unit: Buffer, at: number): number {
    if (at + ATTRIBUTE_CODE_BYTES > unit.length) refuse('an attribute goes past its end');
    const code = unit.readUInt16LE(at);
    const row = attributeRows[code];
    if (row === undefined) refuse(`the attribute ${code} is unknown`);
    let start = at + ATTRIBUTE_CODE_BYTES;
    let end = unit.length;
    if (this.version === 1 || code !== attributes.data.code) {
      start += ATTRIBUTE_LENGTH_BYTES;
      if (start > unit.length) refuse(`the attribute ${row.name} goes past its end`);
      end = start + unit.readUInt16LE(at + ATTRIBUTE_CODE_BYTES);
    }
    if (end > unit.length) refuse(`the attribute ${row.name} goes past its end`);
    // NOTE: receive takes the last one of several; what was checked would not be what is done.
    if ((this.command.present & (1 << code)) !== 0) refuse(`it has the attribute ${row.name} twice`);
    if (row.bytes !== undefined && row.bytes !== end - start)
      refuse(`the attribute ${row.name} has ${end - start} bytes instead of ${row.bytes}`);
    this.command.add(code, start, end);
    return end;
  }
}

function nameOfLowest(codes: number): string {
  return attributeRows[31 - Math.clz32(codes & -codes)]?.name ?? 'unknown';
}

function hasRightChecksum(unit: Buffer): boolean {
  const header = Buffer.from(unit.subarray(0, COMMAND_HEADER_BYTES));
  const given = header.readUInt32LE(CRC_AT);
  header.writeUInt32LE(0, CRC_AT);
  return crc32c(crc32c(0, header), unit.subarray(COMMAND_HEADER_BYTES)) === given;
}
