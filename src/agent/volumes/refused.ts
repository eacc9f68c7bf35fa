/** A shrink to a size that is not tried now: it does not fit, or waits until nobody writes. */
export interface TriedShrink {
  readonly targetBytes: number;
  readonly reason: 'ShrinkDoesNotFit' | 'BusyVolume';
  readonly message: string;
}

/** How full the volume was then: worth another try when data has gone, or after a while if it was busy. */
export interface RefusedShrink extends TriedShrink {
  readonly usedBytes: number;
  readonly triedAt: Date;
}

/** What was tried in vain, by volume. */
export interface Refused {
  readonly shrinks: Map<string, RefusedShrink>;
  readonly fills: Map<string, { readonly sizeBytes: number; readonly message: string }>;
}

/** Less used than at the refusal by this part of the size makes another try worth its work. */
const FREED_PART = 0.01;
/** Until a volume that was written to is looked at again, to see whether it is quiet. */
const BUSY_MS = 15_000;

interface UsedVolume {
  readonly uid: string;
  readonly sizeBytes: number;
  readonly usedBytes: () => Promise<number>;
}

/** The shrink of a volume that is not worth another try yet. */
export async function refusedShrinkOf(
  { shrinks }: Refused,
  { uid, sizeBytes, usedBytes }: UsedVolume,
  now: Date,
): Promise<RefusedShrink | undefined> {
  const refused = shrinks.get(uid);
  if (refused === undefined) return undefined;
  if (refused.reason === 'BusyVolume') return now.getTime() - refused.triedAt.getTime() < BUSY_MS ? refused : undefined;
  if ((await usedBytes()) > refused.usedBytes - FREED_PART * sizeBytes) return refused;
  shrinks.delete(uid);
  return undefined;
}
