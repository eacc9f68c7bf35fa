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
