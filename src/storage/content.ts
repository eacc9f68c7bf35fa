import type { Readable } from 'node:stream';

/** Content from outside of the operator that is being read. Whoever has it destroys its stream in the end. */
export interface Content {
  /** Ends only when all of it was right; else it is destroyed with the reason. */
  readonly stream: Readable;
  readonly totalBytes: number | undefined;
  /** Where it comes from, for messages. */
  readonly origin: string;
}
