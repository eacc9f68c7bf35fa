/** Numbers from 0 to 1 that depend on the seed only (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `CHAOS_SEED`, or another one for each run; printed, so that a run can be repeated. */
export function chaosSeed(): number {
  const given = process.env.CHAOS_SEED;
  const seed = given === undefined || given === '' ? Date.now() % 1_000_000 : Number(given);
  if (!Number.isSafeInteger(seed)) throw new Error(`CHAOS_SEED must be a whole number: ${JSON.stringify(given)}`);
  console.log(`random kills with CHAOS_SEED=${seed}`);
  return seed;
}
