import {
  createStreamValidator,
  type StreamLimits,
  type StreamSummary,
  strictStreamLimits,
} from '../../src/storage/streams/validate-stream.ts';
import { chunksOf } from './chunks.ts';

export interface Validation {
  readonly output: Buffer;
  readonly error: Error | undefined;
  readonly summary: StreamSummary | undefined;
}

interface Options {
  readonly limits?: Partial<StreamLimits>;
  /** Size of the next chunk; all at once if absent. */
  readonly next?: () => number;
  readonly signal?: AbortSignal;
}

/** What a validator makes of a stream, and all that came out of it until it failed. */
export async function validate(stream: Buffer, { limits, next, signal }: Options = {}): Promise<Validation> {
  const validator = createStreamValidator({ ...strictStreamLimits, ...limits }, signal);
  const output: Buffer[] = [];
  const failed = new Promise<Error>((resolve) => validator.once('error', resolve));
  for (const chunk of chunksOf(stream, next ?? (() => stream.length))) {
    if (validator.errored) break;
    validator.write(chunk);
    // NOTE: what a stream still buffers when it fails is lost: it has to be read at once.
    for (let out = validator.read(); out !== null; out = validator.read()) output.push(out);
  }
  const ended = new Promise<undefined>((resolve) => validator.once('end', () => resolve(undefined)));
  validator.on('data', (out: Buffer) => output.push(out)).end();
  const error = await Promise.race([failed, ended]);
  return { output: Buffer.concat(output), error, summary: validator.summary() };
}
