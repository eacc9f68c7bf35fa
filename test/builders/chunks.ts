/** Cuts bytes into pieces of the size that `next` says each time, 1 at least. */
export function* chunksOf(bytes: Buffer, next: () => number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const until = at + Math.max(1, Math.floor(next()));
    yield bytes.subarray(at, until);
    at = until;
  }
}
