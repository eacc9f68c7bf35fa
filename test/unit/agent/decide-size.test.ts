import { describe, expect, it } from 'vitest';
import type { Decision } from '../../../src/agent/volumes/decide.ts';
import type { VolumeObservation } from '../../../src/storage/volumes/observe.ts';
import { imageOf, mountedSeen, recordOf, treeOf } from '../../builders/observations.ts';
import { GIB, MIB } from '../../builders/wishes.ts';
import { decided, type World } from '../../builders/worlds.ts';

const resize = (targetBytes: number): Decision => ({ action: { kind: 'resize', targetBytes } });
const rest: Decision = { action: { kind: 'rest' } };
const minimize = { headroomBytes: 96 * MIB, request: 'r1' };
const minimized = { request: 'r1', generation: 1, sizeBytes: 256 * MIB };
/** File, device, filesystem and record have this size. */
function seenAt(sizeBytes: number, record: Partial<ReturnType<typeof recordOf>> = {}): VolumeObservation {
  return mountedSeen({
    image: imageOf({ sizeBytes }),
    tree: treeOf({ filesystemSizeBytes: sizeBytes, capacityBytes: sizeBytes }),
    record: recordOf({ sizeBytes, ...record }),
  });
}
const small = seenAt(256 * MIB, { minimized });

describe('decide: sizes', () => {
  const rows: readonly (readonly [title: string, world: World, decision: Decision])[] = [
    ['A21 a larger spec grows it', { wish: { sizeBytes: 2 * GIB } }, resize(2 * GIB)],
    ['A19 a smaller spec shrinks it', { wish: { sizeBytes: GIB / 2 } }, resize(GIB / 2)],
    ['A18 the same spec does nothing', { wish: {} }, rest],
    [
      'A19 a file that was not cut yet',
      { wish: {}, seen: { ...mountedSeen(), image: imageOf({ sizeBytes: 2 * GIB }) } },
      resize(GIB),
    ],
    [
      'A19 a device that does not know yet',
      { wish: {}, seen: mountedSeen({ tree: treeOf({ capacityBytes: 2 * GIB }) }) },
      resize(GIB),
    ],
    [
      'A19 a record that was not saved yet',
      { wish: {}, seen: mountedSeen({ record: recordOf({ sizeBytes: 2 * GIB }) }) },
      resize(GIB),
    ],
    [
      'A19 an intent that is left',
      { wish: {}, seen: seenAt(GIB, { resize: { fromBytes: 2 * GIB, toBytes: GIB } }) },
      resize(GIB),
    ],
    ['A17 minimize is asked for', { wish: { minimize } }, { action: { kind: 'minimize', ...minimize } }],
    ['A18 a minimized volume is left alone', { wish: { minimize }, seen: small }, rest],
    [
      'another headroom minimizes anew',
      { wish: { minimize: { ...minimize, request: 'r2' } }, seen: small },
      { action: { kind: 'minimize', headroomBytes: 96 * MIB, request: 'r2' } },
    ],
    ['without minimize it grows back', { wish: {}, seen: small }, resize(GIB)],
    [
      'a minimizing that did nothing is forgotten',
      { wish: {}, seen: seenAt(GIB, { minimized: { ...minimized, sizeBytes: GIB } }) },
      resize(GIB),
    ],
    ['a small volume may stay what it is', { wish: { sizeBytes: 128 * MIB }, seen: seenAt(128 * MIB) }, rest],
    [
      'a shrink is no growth on a node that promised too much',
      { wish: { sizeBytes: GIB / 2 }, host: { growthBytes: -5 * GIB } },
      resize(GIB / 2),
    ],
    [
      'nor is the end of an interrupted resize',
      { wish: {}, seen: seenAt(GIB, { resize: { fromBytes: GIB, toBytes: GIB } }), host: { growthBytes: -1 } },
      resize(GIB),
    ],
    [
      'growth up to the last byte of room',
      { wish: { sizeBytes: 2 * GIB }, host: { growthBytes: GIB } },
      resize(2 * GIB),
    ],
  ];
  it.each(rows)('%s', (_, world, decision) => expect(decided(world)).toEqual(decision));
});

describe('decide: sizes that are refused', () => {
  const refusedShrink = {
    targetBytes: GIB / 2,
    reason: 'ShrinkDoesNotFit',
    message: 'the data needs about 700Mi',
  } as const;
  const busy = { targetBytes: GIB / 2, reason: 'BusyVolume', message: 'the volume is being written to' } as const;
  const pressure = { pressure: "less than 10 % of the node's file system is free" };
  const rows: readonly (readonly [title: string, world: World, reason: string, mendedBy: string, says: RegExp])[] = [
    [
      'down below the limit of btrfs',
      { wish: { sizeBytes: 200 * MIB } },
      'BelowResizeLimit',
      'person',
      /from 1Gi to 200Mi/,
    ],
    [
      'up below the limit of btrfs',
      { wish: { sizeBytes: 200 * MIB }, seen: seenAt(128 * MIB) },
      'BelowResizeLimit',
      'person',
      /from 128Mi to 200Mi/,
    ],
    ['growth on a full node', { wish: { sizeBytes: 2 * GIB }, host: pressure }, 'HostPressure', 'time', /stays at 1Gi/],
    [
      'growth beyond what the node offers',
      { wish: { sizeBytes: 4 * GIB }, host: { growthBytes: GIB } },
      'NodeFull',
      'time',
      /stays at 1Gi: growing to 4Gi/,
    ],
    [
      'growth on a node that promised too much',
      { wish: { sizeBytes: 2 * GIB }, host: { growthBytes: -GIB } },
      'NodeFull',
      'time',
      /growing to 2Gi/,
    ],
    [
      'a shrink that was tried in vain',
      { wish: { sizeBytes: GIB / 2 }, memory: { refusedShrink } },
      'ShrinkDoesNotFit',
      'person',
      /about 700Mi/,
    ],
    [
      'a minimizing that was tried in vain',
      { wish: { minimize }, memory: { refusedShrink: { ...refusedShrink, targetBytes: GIB } } },
      'ShrinkDoesNotFit',
      'person',
      /about 700Mi/,
    ],
    [
      'a shrink that waits for a quiet moment',
      { wish: { sizeBytes: GIB / 2 }, memory: { refusedShrink: busy } },
      'BusyVolume',
      'time',
      /written to/,
    ],
    [
      'a minimizing that waits for a quiet moment',
      { wish: { minimize }, memory: { refusedShrink: { ...busy, targetBytes: GIB } } },
      'BusyVolume',
      'time',
      /written to/,
    ],
  ];
  it.each(rows)('%s', (_, world, reason, mendedBy, says) => {
    const { action, resizeRefusal } = decided(world);
    expect(action).toEqual({ kind: 'rest' });
    expect(resizeRefusal).toMatchObject({ reason, mendedBy });
    expect(resizeRefusal?.message).toMatch(says);
  });

  it('another size than the one tried in vain is tried', () => {
    expect(decided({ wish: { sizeBytes: GIB / 2 + 4096 }, memory: { refusedShrink } })).toEqual(resize(GIB / 2 + 4096));
  });

  it('a full node hinders no shrink', () => {
    expect(decided({ wish: { sizeBytes: GIB / 2 }, host: pressure })).toEqual(resize(GIB / 2));
  });
});
