import { describe, expect, it } from 'vitest';
import { findCommonAncestor, type SourcePoint, streamUUID } from '../../../src/storage/snapshots/common-ancestor.ts';

/** A read-only subvolume `uuid` made of `parentUUID`; ids rise with the names. */
function point(uuid: string, parentUUID?: string, receivedUUID?: string): SourcePoint {
  return { id: uuid.codePointAt(0) ?? 0, uuid, parentUUID, receivedUUID };
}
const receivedAs = (uuid: string) => ({ uuid: `there-${uuid}`, receivedUUID: uuid });

interface Case {
  readonly source: SourcePoint;
  readonly here: readonly SourcePoint[];
  readonly there: readonly string[];
  readonly lineage?: readonly (readonly [string, string])[];
}

const found = ({ source, here, there, lineage }: Case) =>
  findCommonAncestor(source, [source, ...here], there.map(receivedAs), lineage)?.uuid;

describe('findCommonAncestor', () => {
  const c = point('c', 'b');
  const rows: readonly (readonly [title: string, of: Case, expected: string | undefined])[] = [
    ['the receiver has nothing', { source: c, here: [point('b', 'a')], there: [] }, undefined],
    ['the receiver has its parent', { source: c, here: [point('b', 'a')], there: ['b'] }, 'b'],
    ['the receiver has its grandparent', { source: c, here: [point('b', 'a'), point('a')], there: ['a'] }, 'a'],
    ['the nearest wins', { source: c, here: [point('b', 'a'), point('a')], there: ['a', 'b'] }, 'b'],
    ['a sibling, by a parent that is gone', { source: c, here: [point('s', 'b')], there: ['s'] }, 's'],
    ['of two as near the newest', { source: c, here: [point('s', 'b'), point('t', 'b')], there: ['s', 't'] }, 't'],
    ['a child of its own', { source: c, here: [point('d', 'c')], there: ['d'] }, 'd'],
    ['at both ends, but not related', { source: c, here: [point('x')], there: ['x'] }, undefined],
    ['related, but only here', { source: c, here: [point('b')], there: ['x'] }, undefined],
    ['itself is no parent of itself', { source: c, here: [], there: ['c'] }, undefined],
    ['a cycle of uuids ends', { source: point('c', 'b'), here: [point('b', 'c')], there: ['x'] }, undefined],
    [
      'a commit in between, by lineage',
      { source: point('c', 'gone'), here: [point('a')], there: ['a'], lineage: [['c', 'a']] },
      'a',
    ],
  ];
  it.each(rows)('findCommonAncestor: %s', (_, of, expected) => expect(found(of)).toBe(expected));

  it('findCommonAncestor: what both got from a third is known by the uuid that it had there', () => {
    const source = point('c', 'b');
    const here = [source, point('b', undefined, 'third')];
    expect(findCommonAncestor(source, here, [receivedAs('third')])?.uuid).toBe('b');
    expect(findCommonAncestor(source, here, [{ uuid: 'third' }])?.uuid).toBe('b');
    expect(findCommonAncestor(source, here, [receivedAs('b')])).toBeUndefined();
  });
});

describe('streamUUID', () => {
  it('streamUUID: is the one of the first in a row of transfers', () => {
    expect(streamUUID({ uuid: 'a' })).toBe('a');
    expect(streamUUID({ uuid: 'b', receivedUUID: 'a' })).toBe('a');
  });
});
