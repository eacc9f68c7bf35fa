import { randomBytes } from 'node:crypto';

const FIRST_SLOTS = 64;
/** Two halves of a key and a value, 32 bits each. */
const SLOT_BYTES = 12;

/**
 * Numbers above 0 by a name and the number of what holds it, at 16 to 32 bytes each, whatever the names are: it keeps a keyed hash of
 * 64 bits of them (HalfSipHash-1-3), with a key that nobody knows. Open addressing; what is removed leaves nothing.
 */
export class NameTable {
  readonly #maxBytes: number;
  readonly #key = [randomBytes(4).readInt32LE(), randomBytes(4).readInt32LE()] as const;
  #slots = new Uint32Array((FIRST_SLOTS * SLOT_BYTES) / 4);
  #mask = FIRST_SLOTS - 1;
  #count = 0;
  #low = 0;
  #high = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** 0 if there is none. */
  get(holder: number, name: string): number {
    this.#hash(holder, name);
    return this.#slots[3 * this.#place() + 2] ?? 0;
  }

  /** False when there is no room for it. */
  set(holder: number, name: string, value: number): boolean {
    if (4 * (this.#count + 1) > 3 * (this.#mask + 1) && !this.#grow()) return false;
    this.#hash(holder, name);
    const at = 3 * this.#place();
    if (this.#slots[at + 2] === 0) this.#count += 1;
    this.#slots[at] = this.#low;
    this.#slots[at + 1] = this.#high;
    this.#slots[at + 2] = value;
    return true;
  }

  delete(holder: number, name: string): void {
    this.#hash(holder, name);
    const slots = this.#slots;
    let hole = this.#place();
    if (slots[3 * hole + 2] === 0) return;
    this.#count -= 1;
    // What follows without a gap moves up, unless it would come before its own first place.
    for (let next = (hole + 1) & this.#mask; slots[3 * next + 2] !== 0; next = (next + 1) & this.#mask) {
      const first = (slots[3 * next] ?? 0) & this.#mask;
      if (((next - first) & this.#mask) < ((next - hole) & this.#mask)) continue;
      slots.copyWithin(3 * hole, 3 * next, 3 * next + 3);
      hole = next;
    }
    slots[3 * hole + 2] = 0;
  }

  /** The slot of the key that was hashed last, or the free one for it. */
  #place(): number {
    const slots = this.#slots;
    let slot = this.#low & this.#mask;
    while (slots[3 * slot + 2] !== 0 && (slots[3 * slot] !== this.#low || slots[3 * slot + 1] !== this.#high))
      slot = (slot + 1) & this.#mask;
    return slot;
  }

  #grow(): boolean {
    const size = 2 * (this.#mask + 1);
    if (size * SLOT_BYTES > this.#maxBytes) return false;
    const old = this.#slots;
    this.#slots = new Uint32Array((size * SLOT_BYTES) / 4);
    this.#mask = size - 1;
    for (let at = 0; at < old.length; at += 3) {
      if (old[at + 2] === 0) continue;
      this.#low = old[at] ?? 0;
      this.#high = old[at + 1] ?? 0;
      this.#slots.set(old.subarray(at, at + 3), 3 * this.#place());
    }
    return true;
  }

  #hash(holder: number, name: string): void {
    const [k0, k1] = this.#key;
    let [v0, v1, v2, v3] = [k0, k1 ^ 0xee, 0x6c796765 ^ k0, 0x74656463 ^ k1];
    const round = () => {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    };
    const take = (word: number) => {
      v3 ^= word;
      round();
      v0 ^= word;
    };
    take(holder);
    let at = 0;
    for (; at + 4 <= name.length; at += 4) take(wordOf(name, at, 4));
    take(((name.length & 0xff) << 24) | wordOf(name, at, name.length - at));
    v2 ^= 0xee;
    for (let left = 3; left > 0; left--) round();
    this.#low = (v1 ^ v3) >>> 0;
    v1 ^= 0xdd;
    for (let left = 3; left > 0; left--) round();
    this.#high = (v1 ^ v3) >>> 0;
  }
}

function wordOf(name: string, at: number, bytes: number): number {
  let word = 0;
  for (let each = 0; each < bytes; each++) word |= name.charCodeAt(at + each) << (8 * each);
  return word;
}
