import type { Readable } from 'node:stream';
import type { Storage } from '../storage/context.ts';
import { type Incoming, receiveConfined } from '../storage/snapshots/receive.ts';
import { openIncoming } from '../storage/streams/incoming-stream.ts';
import type { StreamLimits, StreamSummary } from '../storage/streams/validate-stream.ts';
import type { Tree } from '../storage/tree.ts';

/** How often the bytes of a stream are looked at. */
const LOOK_MS = 500;

/** A send stream from outside the node, of which the first command was read. */
export interface IncomingContent {
  /** What that command says. */
  readonly summary: StreamSummary;
  /** How many have come so far. */
  readonly bytes: () => number;
  /** Receives all of it, confined to the staging of this uid; `look` is called from time to time while it runs. */
  readonly receiveInto: (tree: Tree, uid: string, look: () => void) => Incoming['receive'];
}

export interface IncomingContentOptions {
  readonly storage: Storage;
  /** What streams from outside the node may hold. */
  readonly streamLimits: StreamLimits;
}

/** Runs `use` with a send stream, which is destroyed afterwards. Throws what the stream fails with, or is refused for. */
export async function withIncoming<T>(
  { storage, streamLimits }: IncomingContentOptions,
  stream: Readable,
  signal: AbortSignal,
  use: (content: IncomingContent) => Promise<T>,
): Promise<T> {
  try {
    const incoming = await openIncoming(stream, streamLimits, signal);
    return await use({
      summary: incoming.summary,
      bytes: () => incoming.stream.summary()?.bytes ?? 0,
      receiveInto: (tree, uid, look) => async (staging) => {
        const looking = setInterval(look, LOOK_MS);
        try {
          await receiveConfined(storage, tree, uid, { incoming, signal })(staging);
        } finally {
          clearInterval(looking);
        }
      },
    });
  } finally {
    stream.destroy();
  }
}
