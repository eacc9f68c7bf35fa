import { expect } from 'vitest';
import { type Coverage, describeCoverage, notStruck, orderOf } from './boundaries.ts';
import type { Fault } from './shims.ts';

/** What `make test` does to an agent: each kind goes through all turns by itself. */
export const faultKinds: readonly { readonly how: string; readonly faults: readonly Fault[] }[] = [
  { how: 'killed at', faults: ['kill-before', 'kill-after'] },
  { how: 'refused or lied to by', faults: ['fail', 'lie'] },
];

/** Nothing was left out: every turn came in its order, and every verb that changes something was struck after its work, or refused. */
export function expectCoverage(coverage: readonly Coverage[], faults: readonly Fault[]): void {
  console.log(coverage.map(describeCoverage).join('\n'));
  const met = faults.filter((fault) => fault !== 'kill-before');
  for (const turn of coverage) {
    expect(orderOf(turn)).toEqual(turn.turn.order ?? []);
    expect(notStruck(turn, met), `${turn.turn.name}: ${met.join(' or ')}`).toEqual([]);
  }
}
