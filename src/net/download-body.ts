import type { IncomingMessage } from 'node:http';
import { Transform, type TransformCallback } from 'node:stream';
import { DownloadError } from './download-error.ts';

export interface DownloadBodyOptions {
  readonly response: IncomingMessage;
  /** Where it comes from, for messages. */
  readonly from: string;
  readonly maxBytes: number;
  /** The longest silence of the server. */
  readonly idleMs: number;
}

/** The bytes of a response; ends only when all of them came, and is destroyed with a DownloadError else. */
export function bodyOf(options: DownloadBodyOptions): Transform {
  const { response, from } = options;
  const body = new DownloadBody(options);
  const cut = (cause?: Error) =>
    body.destroy(
      new DownloadError('failed', `could not download ${from}: the connection was cut before the end`, { cause }),
    );
  response.once('error', cut);
  response.once('close', () => {
    if (!response.complete) cut();
  });
  body.once('close', () => response.destroy());
  return response.pipe(body);
}

class DownloadBody extends Transform {
  readonly #options: DownloadBodyOptions;
  readonly #silence: NodeJS.Timeout;
  #bytes = 0;

  constructor(options: DownloadBodyOptions) {
    super();
    this.#options = options;
    this.#silence = setTimeout(() => this.#onSilence(), options.idleMs);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#silence.refresh();
    this.#bytes += chunk.length;
    const { from, maxBytes } = this.#options;
    if (this.#bytes > maxBytes) done(tooLarge(from, maxBytes));
    else done(null, chunk);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#silence);
    done(error);
  }

  #onSilence(): void {
    // Full because whoever reads it is slow: the server is not to blame.
    if (this.readableLength >= this.readableHighWaterMark) {
      this.#silence.refresh();
      return;
    }
    const { from, idleMs } = this.#options;
    this.destroy(new DownloadError('failed', `could not download ${from}: nothing came for ${idleMs / 1000} s`));
  }
}

export function tooLarge(from: string, maxBytes: number): DownloadError {
  return new DownloadError(
    'refused',
    `could not download ${from}: it is larger than ${maxBytes} bytes, the most that the operator's configuration allows (--download-max-bytes)`,
  );
}
