import { describe, expect, it } from 'vitest';
import {
  authorityData,
  decideAuthorities,
  defaultTimings,
  parseAuthorities,
} from '../../../src/controller/certificates/authorities.ts';
import { createAuthority } from '../../../src/net/certificates/authority.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const now = new Date('2026-06-01T00:00:00Z');
const after = (ms: number) => new Date(now.getTime() + ms);

/** An authority that is `ageMs` old and lives a year. */
const aged = (ageMs: number) =>
  createAuthority({ now: after(-ageMs), notAfter: after(defaultTimings.authorityMs - ageMs) });

describe('decideAuthorities', () => {
  const decide = (...known: ReturnType<typeof aged>[]) => decideAuthorities(known, now, defaultTimings);

  it('asks for the first', () => {
    expect(decide()).toEqual({ kept: [], needsNew: true, signer: undefined });
  });

  it('lets the first sign at once', () => {
    const first = aged(0);
    expect(decide(first)).toEqual({ kept: [first], needsNew: false, signer: first });
  });

  it('asks for the next in the middle of its life, and goes on signing', () => {
    const one = aged(183 * DAY_MS);
    expect(decide(one)).toEqual({ kept: [one], needsNew: true, signer: one });
  });

  it('lets the next sign when every agent has heard of it, and keeps the old one until its end', () => {
    const [old, young, ripe] = [aged(183 * DAY_MS), aged(HOUR_MS / 2), aged(2 * HOUR_MS)];
    expect(decide(young, old)).toEqual({ kept: [young, old], needsNew: false, signer: old });
    expect(decide(old, ripe)).toEqual({ kept: [ripe, old], needsNew: false, signer: ripe });
  });

  it('drops what has ended', () => {
    const next = aged(100 * DAY_MS);
    expect(decide(next, aged(366 * DAY_MS))).toEqual({ kept: [next], needsNew: false, signer: next });
    expect(decide(aged(366 * DAY_MS))).toEqual({ kept: [], needsNew: true, signer: undefined });
  });
});

describe('parseAuthorities', () => {
  it('reads what authorityData writes', () => {
    const authorities = [aged(0), aged(DAY_MS)];
    expect(parseAuthorities(authorityData(authorities))).toEqual(authorities);
    expect(parseAuthorities(authorityData([]))).toEqual([]);
    expect(parseAuthorities(undefined)).toEqual([]);
  });

  it('refuses keys and certificates that do not fit together', () => {
    const [one, other] = [authorityData([aged(0)]), authorityData([aged(0)])];
    const mixed = { 'ca.crt': one['ca.crt'] ?? '', 'ca.key': other['ca.key'] ?? '' };
    expect(() => parseAuthorities(mixed)).toThrow(TypeError);
    expect(() => parseAuthorities({ ...one, 'ca.key': '' })).toThrow(TypeError);
    expect(() => parseAuthorities({ ...one, 'ca.crt': Buffer.from('junk').toString('base64') })).toThrow(TypeError);
  });
});
