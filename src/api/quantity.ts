/** A Kubernetes quantity as it stands in a spec: `1Gi`, `1.5Gi`, `500M`, `1e9`, `1073741824`. */
export type Quantity = string | number;

/** Sizes of btrfs and of image files are multiples of this many bytes. */
export const SECTOR_BYTES = 4096;

/** As the API server reads it (ParseQuantity of k8s.io/apimachinery): digits on neither side of the point are a zero. */
const QUANTITY = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+)|([KMGTPE]i|[numkMGTPE])?)$/;
const DECIMAL_EXPONENTS: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const BINARY_UNITS: readonly string[] = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
/** Digits of 2^53 − 1: what is larger by its exponent alone needs no calculation, whatever that is. */
const MAX_DIGITS = 16;

/**
 * The bytes that a quantity stands for, a fraction rounded up (as Kubernetes does); exact up to 2^53 − 1.
 * Throws TypeError if `value` is no quantity, negative, or above that.
 */
export function parseQuantity(value: Quantity): number {
  const text = String(value);
  const match = QUANTITY.exec(text);
  if (match === null || text === '')
    throw new TypeError(`not a quantity: ${JSON.stringify(value)}; write a size such as 1Gi, 500M or 1073741824`);
  const [, sign, whole = '', fraction = '', exponentText, suffix = ''] = match;
  const exponent = exponentText === undefined ? (DECIMAL_EXPONENTS[suffix] ?? 0) : exponentOf(exponentText);
  const digits = BigInt(`0${whole}${fraction}`) * 1024n ** BigInt(BINARY_UNITS.indexOf(suffix) + 1);
  const bytes = scaled(digits, exponent - fraction.length);
  if (sign === '-' && digits > 0n) throw new TypeError(`a size is not negative: ${JSON.stringify(value)}`);
  if (bytes === undefined || bytes > BigInt(Number.MAX_SAFE_INTEGER))
    throw new TypeError(`a size is 2^53 − 1 bytes at most: ${JSON.stringify(value)}`);
  return Number(bytes);
}

/** The API server keeps the lowest 32 bits of an exponent: `1e4294967305` is `1e9` to it. */
function exponentOf(text: string): number {
  return Number(BigInt.asIntN(32, BigInt(text.replace('+', ''))));
}

/** `digits × 10^places`, rounded up, without floating point; undefined if it has more digits than any size. */
function scaled(digits: bigint, places: number): bigint | undefined {
  if (digits === 0n) return 0n;
  const { length } = String(digits);
  if (length + places > MAX_DIGITS) return undefined;
  if (length + places < 0) return 1n;
  const divisor = 10n ** BigInt(Math.max(-places, 0));
  return (digits * 10n ** BigInt(Math.max(places, 0)) + divisor - 1n) / divisor;
}

/** Bytes as people write them: the largest binary unit, two decimals at most: `256Mi`, `1.5Gi`, `953.67Mi`, `512`. */
export function formatBytes(bytes: number): string {
  if (bytes < 0) return `-${formatBytes(-bytes)}`;
  let unit = '';
  let amount = bytes;
  for (const next of BINARY_UNITS) {
    // NOTE: the rounded amount decides, or 1048575 bytes would read 1024Ki.
    if (rounded(amount) < 1024) break;
    amount /= 1024;
    unit = next;
  }
  return `${rounded(amount)}${unit}`;
}

function rounded(amount: number): number {
  return Math.round(amount * 100) / 100;
}

/** The smallest multiple of 4096 that is not below `bytes`. */
export function roundUpToSector(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}
