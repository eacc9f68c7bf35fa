import { finished, type Readable, type Writable } from 'node:stream';
import { FRAME, failureFrame, frameHeader } from './transfer-frames.ts';

/** Heartbeats in the longest silence that a peer bears. */
const BEATS = 3;
/** Below this much unsent a new frame may be written without waiting. */
const WRITE_AHEAD_BYTES = 1024 * 1024;

/** The peer takes nothing any more. */
class StalledError extends Error {}

export interface PumpOptions {
  /** The connection to the peer; ended or destroyed afterwards. */
  readonly peer: Writable;
  readonly idleMs: number;
  /** Aborts when the connection is gone or the server stops. */
  readonly signal: AbortSignal;
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * Writes a stream as frames and ends the connection; the end is told only when the stream has ended and `finished` is
 * fulfilled. While the stream is silent the peer gets heartbeats. Throws what broke it, after telling the peer if it still
 * listens; {@link StalledError} when the peer took nothing for `idleMs`.
 */
export async function pumpStream(
  { stream, finished: senderEnded }: { readonly stream: Readable; readonly finished?: Promise<unknown> | undefined },
  options: PumpOptions,
): Promise<void> {
  const { peer, idleMs, signal } = options;
  const abort = () => stream.destroy(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
  const beat = setInterval(() => {
    if (peer.writableLength === 0) peer.write(frameHeader(FRAME.heartbeat));
  }, idleMs / BEATS);
  senderEnded?.catch(() => undefined); // judged below, when the stream has ended
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await writeAll(stream, options);
    await senderEnded;
    signal.throwIfAborted();
    clearInterval(beat);
    await ended(peer, frameHeader(FRAME.end), idleMs);
  } catch (error) {
    clearInterval(beat);
    if (peer.writable && !signal.aborted && !(error instanceof StalledError)) {
      await ended(peer, failureFrame(error instanceof Error ? error.message : String(error)), idleMs).catch(() => {});
    }
    peer.destroy();
    throw error;
  } finally {
    clearInterval(beat);
    signal.removeEventListener('abort', abort);
    stream.destroy();
  }
}

async function writeAll(stream: Readable, { peer, idleMs, signal, onBytes }: PumpOptions): Promise<void> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    peer.cork();
    peer.write(frameHeader(FRAME.data, chunk.length));
    peer.write(chunk);
    peer.uncork();
    onBytes?.(chunk.length);
    if (peer.writableLength > WRITE_AHEAD_BYTES) await drained(peer, idleMs, signal);
  }
}

/** Resolves when all is with the kernel, this last frame too. Throws {@link StalledError}, or what broke the connection. */
function ended(peer: Writable, lastFrame: Buffer, idleMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => peer.destroy(stalled(idleMs)), idleMs);
    finished(peer, { readable: false }, (error) => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve();
    });
    peer.end(lastFrame);
  });
}

function stalled(idleMs: number): StalledError {
  return new StalledError(`the peer took nothing for ${idleMs / 1000} s`);
}

/** Resolves when what was written is on its way. Throws {@link StalledError}, or the signal's reason. */
function drained(peer: Writable, idleMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    if (!peer.writableNeedDrain) return resolve();
    const settle = (settled: () => void) => {
      clearTimeout(timer);
      peer.off('drain', onDrain);
      signal.removeEventListener('abort', onAbort);
      settled();
    };
    const onDrain = () => settle(resolve);
    const onAbort = () => settle(() => reject(signal.reason));
    const timer = setTimeout(() => settle(() => reject(stalled(idleMs))), idleMs);
    peer.once('drain', onDrain);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
