/** Long enough for the largest clone or file that receive finishes between two reads. */
const STALL_MS = 5 * 60_000;
const LOOK_MS = 5_000;

/** Aborts `signal` when the bytes have not changed for five minutes: receive can hang on what an increment's parent has (a fifo). */
export function watchForStall(bytes: () => number, stallMs = STALL_MS): Disposable & { readonly signal: AbortSignal } {
  const stalled = new AbortController();
  let last = { bytes: bytes(), atMs: performance.now() };
  const timer = setInterval(
    () => {
      const now = bytes();
      if (now !== last.bytes) last = { bytes: now, atMs: performance.now() };
      else if (performance.now() - last.atMs >= stallMs) stalled.abort();
    },
    Math.min(LOOK_MS, stallMs),
  );
  return { signal: stalled.signal, [Symbol.dispose]: () => clearInterval(timer) };
}
