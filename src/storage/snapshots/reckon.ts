import { type SendOptions, sendCommand } from '../../host/btrfs-stream.ts';
import { startCommand } from '../../host/run.ts';
import { MOST_COMMAND_BYTES_V1 } from '../streams/stream-format.ts';
import { StreamParser } from '../streams/stream-parser.ts';
import type { Tree } from '../tree.ts';

/** Bytes of data of a stream that is not made yet. */
export interface Reckoned {
  readonly bytes: number;
  /** False where the reckoning was broken off: there may be more. */
  readonly isAll: boolean;
}

export interface ReckonOptions {
  readonly signal?: AbortSignal | undefined;
  /** More than this is not worth counting. */
  readonly enoughBytes?: number;
  /** Who waits for the stream should not wait long for its size; 10 s if absent. */
  readonly limitMs?: number;
}

const LIMIT_MS = 10_000;

/**
 * What `btrfs send` would send, by its commands without their data (`--no-data`): an extent is one of them, however large. A hole
 * that came since the parent is counted with all its zeros, as it is sent; clones count nothing. What fails here fails again when
 * it is sent: then it is said.
 */
export async function reckonSend(tree: Tree, send: SendOptions, options: ReckonOptions = {}): Promise<Reckoned> {
  const { signal, enoughBytes = Number.POSITIVE_INFINITY, limitMs = LIMIT_MS } = options;
  const enough = new AbortController();
  const signals = [enough.signal, AbortSignal.timeout(limitMs), ...(signal === undefined ? [] : [signal])];
  const { stdout, ended } = startCommand(sendCommand({ ...send, noData: true }), {
    ...tree.transferOptions(),
    signal: AbortSignal.any(signals),
  });
  let bytes = 0;
  const parser = new StreamParser(MOST_COMMAND_BYTES_V1, (command) => {
    if (command.name === 'update_extent') bytes += Number(command.u64('size'));
  });
  try {
    for await (const chunk of stdout) {
      parser.push(chunk as Buffer);
      if (bytes > enoughBytes) break;
    }
  } catch {
    // By what has been read so far.
  }
  enough.abort();
  await ended.catch(() => undefined);
  signal?.throwIfAborted();
  return { bytes, isAll: parser.ended };
}
