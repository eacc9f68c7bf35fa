import { type AttributeName, attributes, type CommandName } from './stream-format.ts';

const MOST_ATTRIBUTES = 32;

/**
 * One command of a stream, as a view of the bytes it was read from: the parser reuses it for the next one, so nothing may keep it.
 * Values are asked for by the name of an attribute that the command has (see `stream-format.ts`).
 */
export class StreamCommand {
  name: CommandName = 'end';
  /** Counted from 1. */
  number = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #present = 0;
  readonly #starts = new Uint32Array(MOST_ATTRIBUTES);
  readonly #ends = new Uint32Array(MOST_ATTRIBUTES);

  /** Becomes the command that `bytes` holds, without attributes as yet. */
  reset(name: CommandName, bytes: Buffer): void {
    this.name = name;
    this.number += 1;
    this.#bytes = bytes;
    this.#present = 0;
  }

  /** The codes of the attributes it has, one bit each. */
  get present(): number {
    return this.#present;
  }

  add(code: number, start: number, end: number): void {
    this.#present |= 1 << code;
    this.#starts[code] = start;
    this.#ends[code] = end;
  }

  has(name: AttributeName): boolean {
    return (this.#present & (1 << attributes[name].code)) !== 0;
  }

  /** Paths and names are bytes, not text: latin1 keeps each byte as one character. */
  text(name: AttributeName): string {
    return this.#bytes.toString('latin1', this.#startOf(name), this.#ends[attributes[name].code]);
  }

  u32(name: AttributeName): number {
    return this.#bytes.readUInt32LE(this.#startOf(name));
  }

  u64(name: AttributeName): bigint {
    return this.#bytes.readBigUInt64LE(this.#startOf(name));
  }

  /** With dashes, as btrfs-progs prints it. */
  uuid(name: AttributeName): string {
    const start = this.#startOf(name);
    const hex = this.#bytes.toString('hex', start, start + 16);
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }

  #startOf(name: AttributeName): number {
    if (!this.has(name)) throw new TypeError(`the command ${this.name} has no attribute ${name}`);
    return this.#starts[attributes[name].code] ?? 0;
  }
}
