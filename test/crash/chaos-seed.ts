/** `CHAOS_SEED`, or another one for each run; printed, so that a run can be repeated. */
export function chaosSeed(): number {
  const given = process.env.CHAOS_SEED;
  const seed = given === undefined || given === '' ? Date.now() % 1_000_000 : Number(given);
  if (!Number.isSafeInteger(seed)) throw new Error(`CHAOS_SEED must be a whole number: ${JSON.stringify(given)}`);
  console.log(`random choices with CHAOS_SEED=${seed}`);
  return seed;
}
