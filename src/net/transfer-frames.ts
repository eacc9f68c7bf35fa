import { Readable } from 'node:stream';
import { TransferError } from './transfer-protocol.ts';

/**
 * The body of an answer is a row of frames: one byte that says what it is, four with the length (big endian), content.
 * A stream is whole when `end` came; a connection that ends before, however politely, breaks it.
 */
export const FRAME = { heartbeat: 0, data: 1, end: 2, failure: 3 } as const;

const HEADER_BYTES = 5;
const MAX_FAILURE_BYTES = 1024;
/** TLS gives 16 KiB at a time; passing on the whole of a frame costs the consumer a fourth of the system calls. */
const MAX_BLOCK_BYTES = 256 * 1024;
/** What is read ahead of the consumer. */
const READ_AHEAD_BYTES = 1024 * 1024;
const MAX_TICK_MS = 1000;

/** A frame without its content, of which `length` bytes follow. */
export function frameHeader(type: number, length = 0): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt8(type, 0);
  header.writeUInt32BE(length, 1);
  return header;
}

/** Tells the peer why there will be no end. */
export function failureFrame(message: string): Buffer {
  const content = Buffer.from(message).subarray(0, MAX_FAILURE_BYTES);
  return Buffer.concat([frameHeader(FRAME.failure, content.length), content]);
}

export interface FrameReaderOptions {
  /** Emits the frames' bytes; destroyed with the reader. */
  readonly source: Readable;
  /** Who sends, for messages. */
  readonly from: string;
  /** The longest silence, heartbeats included, in milliseconds; time in which the consumer does not want more is not counted. */
  readonly idleMs: number;
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** The content of data frames. Ends only after `end`; whatever else happens destroys it with a {@link TransferError}. */
export class FrameReader extends Readable {
  readonly #options: FrameReaderOptions;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  readonly #watchdog: NodeJS.Timeout;
  #headerBytes = 0;
  #type: number = FRAME.heartbeat;
  /** Bytes of the current frame's content that are still to come. */
  #left = 0;
  /** Content of the current frame that was not handed on yet, and how much of it is filled. */
  #block = Buffer.alloc(0);
  #filled = 0;
  #isWhole = false;
  #heardAtMs = performance.now();
  #uncounted = 0;

  constructor(options: FrameReaderOptions) {
    super({ highWaterMark: READ_AHEAD_BYTES });
    this.#options = options;
    const { source, idleMs } = options;
    source.on('data', (chunk: Buffer) => this.#accept(chunk));
    source.once('error', (cause) => this.#breakOff(cause));
    source.once('close', () => this.#breakOff());
    source.once('end', () => this.#breakOff());
    this.#watchdog = setInterval(() => this.#look(), Math.min(MAX_TICK_MS, idleMs / 4));
  }

  override _read(): void {
    const { source } = this.#options;
    if (!source.isPaused()) return;
    this.#heardAtMs = performance.now();
    source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearInterval(this.#watchdog);
    this.#count();
    this.#options.source.destroy();
    callback(error);
  }

  #accept(chunk: Buffer): void {
    this.#heardAtMs = performance.now();
    let wantsMore = true;
    for (let offset = 0; offset < chunk.length && !this.destroyed && !this.#isWhole; ) {
      if (this.#left === 0) {
        offset += this.#readHeader(chunk, offset);
        continue;
      }
      if (this.#filled === 0) this.#block = Buffer.allocUnsafe(Math.min(this.#left, MAX_BLOCK_BYTES));
      const taken = chunk.copy(this.#block, this.#filled, offset, offset + this.#left);
      offset += taken;
      this.#left -= taken;
      this.#filled += taken;
      if (this.#filled === this.#block.length) wantsMore = this.#handOn();
    }
    if (!wantsMore) this.#options.source.pause();
  }

  /** Returns whether the consumer wants more. */
  #handOn(): boolean {
    this.#filled = 0;
    if (this.#type === FRAME.data) {
      this.#uncounted += this.#block.length;
      return this.push(this.#block);
    }
    const message = this.#block.toString('utf8').replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ');
    this.destroy(this.#error('broken', `broke off: ${message.trim()}`));
    return true;
  }

  /** Takes bytes of a header and returns how many. */
  #readHeader(chunk: Buffer, offset: number): number {
    const taken = chunk.copy(this.#header, this.#headerBytes, offset, offset + HEADER_BYTES - this.#headerBytes);
    this.#headerBytes += taken;
    if (this.#headerBytes < HEADER_BYTES) return taken;
    this.#headerBytes = 0;
    this.#type = this.#header.readUInt8(0);
    this.#left = this.#header.readUInt32BE(1);
    this.#checkHeader();
    return taken;
  }

  #checkHeader(): void {
    const isSane =
      this.#type === FRAME.data ||
      (this.#type === FRAME.failure && this.#left > 0 && this.#left <= MAX_FAILURE_BYTES) ||
      ((this.#type === FRAME.heartbeat || this.#type === FRAME.end) && this.#left === 0);
    if (!isSane) return void this.destroy(this.#error('broken', 'sent something else than a stream'));
    if (this.#type !== FRAME.end) return;
    this.#isWhole = true;
    this.push(null);
  }

  #breakOff(cause?: Error): void {
    if (this.#isWhole || this.destroyed) return;
    this.destroy(this.#error('broken', 'was cut off before the end of the stream', cause));
  }

  #look(): void {
    this.#count();
    const { source, idleMs } = this.#options;
    if (source.isPaused() || this.#isWhole) return;
    if (performance.now() - this.#heardAtMs <= idleMs) return;
    this.destroy(this.#error('idle', `sent nothing for ${idleMs / 1000} s`));
  }

  #count(): void {
    if (this.#uncounted > 0) this.#options.onBytes?.(this.#uncounted);
    this.#uncounted = 0;
  }

  #error(code: 'broken' | 'idle', what: string, cause?: Error): TransferError {
    return new TransferError(code, `${this.#options.from} ${what}`, cause === undefined ? {} : { cause });
  }
}
