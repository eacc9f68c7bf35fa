import { once } from 'node:events';
import { pipeline, type Readable } from 'node:stream';
import {
  createStreamValidator,
  type StreamLimits,
  type StreamSummary,
  type StreamValidator,
} from './validate-stream.ts';

/** A stream from outside the node, on its way through the validator. */
export interface IncomingStream {
  /** What its first command says. */
  readonly summary: StreamSummary;
  /** The validated bytes; fails when the stream is refused or breaks off. */
  readonly stream: StreamValidator;
  /** What it may be and do. */
  readonly limits: StreamLimits;
}

/** Reads as far as the first command. Throws what the source or the validator fails with. */
export async function openIncoming(
  source: Readable,
  limits: StreamLimits,
  signal: AbortSignal,
): Promise<IncomingStream> {
  // Nothing can be piped into a stream that is destroyed as soon as it is made.
  signal.throwIfAborted();
  const stream = createStreamValidator(limits, signal);
  // It may fail at any time, also in the same chunk that begins it: whoever reads it learns of it, and until then nobody listens.
  stream.on('error', () => undefined);
  const begun = once(stream, 'begun');
  pipeline(source, stream, () => undefined);
  await begun;
  const summary = stream.summary();
  if (summary === undefined) throw new Error('a stream without a first command has begun');
  return { summary, stream, limits };
}
