import { describe, expect, it } from 'vitest';
import { observeClaim } from '../../../src/storage/caches/claim.ts';
import {
  cacheRecordPath,
  claimRecordPath,
  readCacheRecord,
  readClaimRecord,
} from '../../../src/storage/caches/records.ts';
import { claimUidAt, generationAt, stagingUidAt, treeLayout } from '../../../src/storage/layout.ts';
import type { ListedSubvolume, Tree } from '../../../src/storage/tree.ts';
import { cacheRecordOf, claimRecordOf, cloneOf } from '../../builders/cache-observations.ts';
import { UID } from '../../builders/observations.ts';

const OTHER_UID = UID.replace('3f1f', '4f1f');

/** A tree that holds one file and these subvolumes. */
function treeWith(file: readonly [path: string, text: string], subvolumes: Record<string, ListedSubvolume> = {}): Tree {
  const [path, text] = file;
  const parts: Pick<Tree, 'readRecord' | 'list'> = {
    readRecord: async (each) => (each === path ? text : undefined),
    list: async () => new Map(Object.entries(subvolumes)),
  };
  return parts as Tree;
}

describe('records of caches and claims', () => {
  const cache = cacheRecordOf({ uid: UID, made: { 1: { from: 'Empty', at: '2026-01-01T00:00:00.000Z' } } });
  const claim = claimRecordOf({ uid: UID });

  it('C5 a record is read as it was written', async () => {
    expect(await readCacheRecord(treeWith([cacheRecordPath(UID), JSON.stringify(cache)]), UID)).toEqual(cache);
    expect(await readClaimRecord(treeWith([claimRecordPath(UID), JSON.stringify(claim)]), UID)).toEqual(claim);
  });

  it('C5 none is there: undefined', async () => {
    expect(await readCacheRecord(treeWith(['elsewhere', '']), UID)).toBeUndefined();
    expect(await readClaimRecord(treeWith(['elsewhere', '']), UID)).toBeUndefined();
  });

  const damages: readonly (readonly [title: string, damage: (text: string) => string])[] = [
    ['empty', () => ''],
    ['torn', (text) => text.slice(0, text.length / 2)],
    ['zeros after a power cut', (text) => '\0'.repeat(text.length)],
    ['no object', () => '[]'],
    ['of another object', (text) => text.replaceAll(UID, OTHER_UID)],
    ['of another kind', (text) => text.replace(/"kind":"\w+"/, '"kind":"Snapshot"')],
    ['of a schema to come', (text) => text.replace('"schemaVersion":1', '"schemaVersion":2')],
    ['without a number', (text) => text.replace(/"(firstGeneration|baseGeneration)":\d+,/, '')],
    ['with a number that is text', (text) => text.replace(/"(nextGeneration|btrfsGeneration)":(\d+)/, '"$1":"$2"')],
  ];
  it.each(damages)('C6 %s: damaged', async (_, damage) => {
    const texts = [cache, claim].map((record) => JSON.stringify(record));
    for (const text of texts) expect(damage(text)).not.toBe(text);
    const [ofCache = '', ofClaim = ''] = texts.map(damage);
    expect(await readCacheRecord(treeWith([cacheRecordPath(UID), ofCache]), UID)).toBe('damaged');
    expect(await readClaimRecord(treeWith([claimRecordPath(UID), ofClaim]), UID)).toBe('damaged');
  });

  const clone = cloneOf();
  const claimText = JSON.stringify(claim);
  const rw = treeLayout.clonePath(UID, 'ReadWrite');

  it('B2 observeClaim: a clone and its record', async () => {
    const tree = treeWith([claimRecordPath(UID), claimText], { [rw]: clone });
    expect(await observeClaim(tree, UID)).toEqual({ clone, record: claim });
  });

  it('B2 observeClaim: a record without a clone is what an unfinished removal left', async () => {
    const { clone, record } = await observeClaim(treeWith([claimRecordPath(UID), claimText]), UID);
    expect([clone, record]).toEqual([undefined, expect.objectContaining({ uid: UID })]);
  });

  it('B20 observeClaim: a record of another subvolume than the one that is there is damaged', async () => {
    const other = cloneOf({ uuid: 'uuid-restored' });
    const tree = treeWith([claimRecordPath(UID), claimText], { [rw]: other });
    expect(await observeClaim(tree, UID)).toEqual({ clone: other, record: 'damaged' });
  });
});

describe('what lies in the tree of a volume', () => {
  it('D18 generationPath: whole positive numbers only', () => {
    expect(treeLayout.generationPath(UID, 12)).toBe(`caches/${UID}/12`);
    for (const number of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(() => treeLayout.generationPath(UID, number)).toThrow(TypeError);
    }
  });

  const generations: readonly (readonly [path: string, number: number | undefined])[] = [
    [`caches/${UID}/1`, 1],
    [`caches/${UID}/999999999999999`, 999_999_999_999_999],
    [`caches/${UID}/1000000000000000`, undefined],
    [`caches/${UID}/0`, undefined],
    [`caches/${UID}/01`, undefined],
    [`caches/${UID}/-1`, undefined],
    [`caches/${UID}/1e3`, undefined],
    [`caches/${UID}/1/2`, undefined],
    [`caches/${UID}/1\n`, undefined],
    [`caches/${UID}/`, undefined],
    [`caches/${OTHER_UID}/1`, undefined],
    [`claims/${UID}/1`, undefined],
    [`x/caches/${UID}/1`, undefined],
  ];
  it.each(generations)('generationAt: %j', (path, number) => expect(generationAt(path, UID)).toBe(number));

  const claims: readonly (readonly [path: string, uid: string | undefined])[] = [
    [`claims/${UID}/rw`, UID],
    [`claims/${UID}/ro`, UID],
    [`claims/${UID}`, undefined],
    [`claims/${UID}/rw/nested`, undefined],
    [`claims/${UID}/other`, undefined],
    [`claims/${UID.toUpperCase()}/rw`, undefined],
    ['claims/../rw', undefined],
    [`snapshots/${UID}/rw`, undefined],
    [`staging/${UID}`, undefined],
  ];
  it.each(claims)('claimUidAt: %j', (path, uid) => expect(claimUidAt(path)).toBe(uid));

  const staged: readonly (readonly [path: string, uid: string | undefined])[] = [
    [`staging/${UID}`, UID],
    [`staging/${UID}/made`, undefined],
    ['staging/data', undefined],
    ['staging/..', undefined],
    [`claims/${UID}`, undefined],
  ];
  it.each(staged)('stagingUidAt: %j', (path, uid) => expect(stagingUidAt(path)).toBe(uid));
});
