import { describe, expect, it } from 'vitest';
import { wishOf } from '../../../src/agent/volumes/wish.ts';
import { volumeOf } from '../../builders/objects.ts';
import { GIB, MIB, settings, wishWith } from '../../builders/wishes.ts';

describe('wishOf', () => {
  it('a spec that says nothing but its size wants all defaults', () => {
    expect(wishOf(volumeOf({ spec: { size: '1Gi' } }))).toEqual(wishWith({ settings }));
  });

  it.each([
    ['1Gi', GIB],
    [GIB, GIB],
    ['1.5Gi', 1.5 * GIB],
    ['150M', 150_003_712],
    [GIB + 1, GIB + 4096],
  ])('A3 a size of %s becomes %i bytes, a multiple of 4096', (size, sizeBytes) => {
    expect(wishOf(volumeOf({ spec: { size } })).sizeBytes).toBe(sizeBytes);
    expect(sizeBytes % 4096).toBe(0);
  });

  it.each([
    ['755', '0755'],
    ['0700', '0700'],
    ['000', '0000'],
  ])('mode %s is compared as stat prints it, %s', (mode, expected) => {
    expect(wishOf(volumeOf({ spec: { owner: { mode } } })).settings.owner.mode).toBe(expected);
  });

  it('the rest of spec arrives as it is', () => {
    const spec = {
      label: 'build',
      owner: { uid: 1000, gid: 100, mode: '0750' },
      metadataProfile: 'dup',
      compression: 'none',
      discard: 'Off',
      durability: 'Disposable',
      mounted: false,
    };
    const { mounted, settings: wanted } = wishOf(volumeOf({ spec }));
    expect({ ...wanted, mounted }).toEqual({ ...spec, content: 'Empty' });
  });

  it('a source and an export are asked for by name', () => {
    const source = { snapshotRef: { name: 'base' } };
    const wish = wishOf(volumeOf({ spec: { source, export: { file: 'base.img' } } }));
    expect([wish.settings.content, wish.exportFile]).toEqual(['FromSource', 'base.img']);
  });

  describe('minimize', () => {
    const request = (spec: Record<string, unknown>) => wishOf(volumeOf({ spec })).minimize?.request;

    it('A24 {} asks for the default headroom', () => {
      expect(wishOf(volumeOf({ spec: { minimize: {} } })).minimize?.headroomBytes).toBe(96 * MIB);
    });

    it('is one request for the same bytes, however they are written', () => {
      const asked = request({ size: '1Gi', minimize: { headroom: '1Gi' } });
      expect(request({ size: GIB, minimize: { headroom: '1024Mi' } })).toBe(asked);
      expect(asked).toBeDefined();
    });

    it.each([
      ['headroom', { size: '1Gi', minimize: { headroom: '2Gi' } }],
      ['size', { size: '2Gi', minimize: { headroom: '1Gi' } }],
    ])('is another request when %s changes', (_, spec) => {
      expect(request(spec)).not.toBe(request({ size: '1Gi', minimize: { headroom: '1Gi' } }));
    });
  });
});
