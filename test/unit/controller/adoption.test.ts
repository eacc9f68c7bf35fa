import { describe, expect, it } from 'vitest';
import { MAX_ORPHANS, type Orphan } from '../../../src/api/btrfs-node.ts';
import { placeWhereItsDataIs } from '../../../src/controller/volumes/adoption.ts';
import { btrfsNodeOf, condition, volumeOf } from '../../builders/objects.ts';

const uid = '5d0a0b5e-1f5c-4a3a-9a39-0f1b2c3d4e5f';
const orphan = (parts: Partial<Orphan> = {}): Orphan => ({
  uid,
  kind: 'LoopbackVolume',
  namespace: 'ns',
  name: 'vol',
  bytes: 5,
  ...parts,
});
const ready = [condition('Ready', 'True')];
const node = (name: string, orphans: Orphan[], conditions = ready) => btrfsNodeOf({ orphans, conditions }, { name });
const adopting = (spec: Record<string, unknown> = {}) => volumeOf({ spec: { source: { adopt: { uid } }, ...spec } });
const place = (volume = adopting(), nodes = [node('a', []), node('b', [orphan()])], isLive = true) =>
  placeWhereItsDataIs(volume, nodes, () => isLive);

describe('placeWhereItsDataIs', () => {
  it('C8 one that adopts goes to the node that lists it, also under host pressure; a volume without data goes anywhere', () => {
    expect(place()).toEqual({ kind: 'node', nodeName: 'b' });
    expect(place(adopting({ nodeName: 'b' }))).toEqual({ kind: 'node', nodeName: 'b' });
    const full = node('b', [orphan()], [...ready, condition('HostPressure', 'True')]);
    expect(place(adopting(), [full])).toEqual({ kind: 'node', nodeName: 'b' });
    expect(place(volumeOf())).toBeUndefined();
  });

  it('C8 one whose own uid is listed goes there, as after a restore of the API server from before it was placed', () => {
    const volume = volumeOf();
    const own = orphan({ uid: volume.metadata.uid });
    expect(place(volume, [node('a', []), node('b', [own])])).toEqual({ kind: 'node', nodeName: 'b' });
    expect(place(volume, [node('a', [own]), node('b', [own])])).toBeUndefined();
  });

  it.each<[string, string, string, Parameters<typeof place>]>([
    ['nobody lists it', 'OrphanNotFound', 'no BtrfsNode lists', [adopting(), [node('a', [])]]],
    [
      'another node lists it',
      'OrphanNotFound',
      'b does; make the volume with that spec.nodeName',
      [adopting({ nodeName: 'a' })],
    ],
    [
      'two list it',
      'AdoptionRefused',
      'set spec.nodeName',
      [adopting(), [node('a', [orphan()]), node('b', [orphan()])]],
    ],
    ['another name', 'AdoptionRefused', 'names "other"', [adopting(), [node('a', [orphan({ name: 'other' })])]]],
    ['another kind', 'AdoptionRefused', 'it is a Snapshot', [adopting(), [node('a', [orphan({ kind: 'Snapshot' })])]]],
    [
      'no record',
      'AdoptionRefused',
      'no record tells whose',
      [adopting(), [node('a', [{ uid, kind: 'LoopbackVolume' }])]],
    ],
    ['no live agent', 'NoNodeFits', 'is on b, which has no live agent', [adopting(), undefined, false]],
  ])('C2 %s: refused with the way out', (_, reason, text, args) => {
    expect(place(...args)).toEqual({ kind: 'none', reason, message: expect.stringContaining(text) });
  });

  it('C2 of another namespace nothing is told', () => {
    const placement = place(adopting(), [node('a', [orphan({ namespace: 'secret', name: 'hidden' })])]);
    expect(placement).toMatchObject({ kind: 'none', reason: 'AdoptionRefused' });
    expect(JSON.stringify(placement)).not.toMatch(/secret|hidden/);
  });

  it('C8 a list that is full may lack it: the node that spec names is asked', () => {
    const others = Array.from({ length: MAX_ORPHANS }, (_, n) => orphan({ uid: `${n}` }));
    expect(place(adopting({ nodeName: 'a' }), [node('a', others)])).toBeUndefined();
    expect(place(adopting(), [node('a', others)])).toMatchObject({ reason: 'OrphanNotFound' });
  });
});
