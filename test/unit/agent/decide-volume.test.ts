import { describe, expect, it } from 'vitest';
import type { Decision } from '../../../src/agent/volumes/decide.ts';
import {
  downSeen,
  imageOf,
  loopOf,
  mountedSeen,
  mountOf,
  nothingSeen,
  recordOf,
  treeOf,
} from '../../builders/observations.ts';
import { GIB, settings } from '../../builders/wishes.ts';
import { decided, type World } from '../../builders/worlds.ts';

function refusalOf(world: World) {
  const { action } = decided(world);
  return action.kind === 'refuse' ? action.refusal : undefined;
}

const pressure = { pressure: "less than 10 % of the node's file system is free" };
const unformatted = recordOf({ initialized: false });
const unmounted = { mounted: false };
const stray = mountOf({ fsType: 'ext4', source: '/dev/sdb' });

describe('decide: a volume that is not up', () => {
  const rows: readonly (readonly [title: string, world: World, kind: Decision['action']['kind']])[] = [
    ['C1 nothing is there: it is made', { seen: nothingSeen() }, 'create'],
    ['an interrupted creation is finished', { seen: nothingSeen({ record: unformatted }) }, 'restore-image'],
    ['C4 an unfinished format goes on', { seen: downSeen({ record: unformatted }) }, 'bring-up'],
    ['a finished volume is brought up', { seen: downSeen() }, 'bring-up'],
    ['C3 an attached image is brought up as it is', { seen: downSeen({ loops: [loopOf()] }) }, 'bring-up'],
    ['a left staging place is cleared', { seen: mountedSeen({ strayDirectory: true }) }, 'bring-up'],
    ['A12 mounted: false takes it down', { wish: unmounted, seen: mountedSeen() }, 'bring-down'],
    ['A12 a loop device that is left goes', { wish: unmounted, seen: downSeen({ loops: [loopOf()] }) }, 'bring-down'],
    ['A12 a directory that is left goes', { wish: unmounted, seen: downSeen({ strayDirectory: true }) }, 'bring-down'],
    ['A12 what is down stays down', { wish: unmounted, seen: downSeen() }, 'rest'],
    ['mounted: false still makes a new volume', { wish: unmounted, seen: nothingSeen() }, 'create'],
    ['mounted: false still formats it', { wish: unmounted, seen: downSeen({ record: unformatted }) }, 'bring-up'],
  ];
  it.each(rows)('%s', (_, world, kind) => expect(decided(world)).toEqual({ action: { kind } }));
});

describe('decide: what is never guessed', () => {
  const rows: readonly (readonly [title: string, world: World, reason: string, mendedBy: string])[] = [
    ['A23 an image is gone', { seen: nothingSeen({ record: recordOf() }) }, 'BackingFileMissing', 'person'],
    [
      'A23 an image is gone, unmounted',
      { wish: unmounted, seen: nothingSeen({ record: recordOf() }) },
      'BackingFileMissing',
      'person',
    ],
    [
      'C2 image and record are gone, but there has been data',
      { seen: nothingSeen(), memory: { hadData: true } },
      'BackingFileMissing',
      'person',
    ],
    ['C2 an image without its record', { seen: nothingSeen({ image: imageOf() }) }, 'ForeignFilesystem', 'person'],
    ['no new volume on a full node', { seen: nothingSeen(), host: pressure }, 'HostPressure', 'time'],
    ['something else is mounted there', { seen: downSeen({ strayMount: stray }) }, 'ForeignMount', 'person'],
    [
      'A23 the mounted file is not the image any more',
      { seen: mountedSeen({ loops: [] }) },
      'BackingFileReplaced',
      'person',
    ],
    [
      'C3 a second loop device has the image',
      { seen: mountedSeen({ loops: [loopOf(), loopOf({ path: '/dev/loop9' })] }) },
      'StillInUse',
      'person',
    ],
    [
      'the image lost its end',
      { seen: mountedSeen({ image: imageOf({ sizeBytes: GIB - 4096 }) }) },
      'ImageTruncated',
      'person',
    ],
    [
      'a read-only volume on a full node would be read-only again',
      { seen: mountedSeen({ tree: treeOf({ readOnly: true }) }), host: pressure },
      'ReadOnly',
      'time',
    ],
  ];
  it.each(rows)('%s: %#', (_, world, reason, mendedBy) => {
    expect(refusalOf(world)).toMatchObject({ reason, mendedBy });
    expect(refusalOf(world)?.message).toMatch(/^[^\n]{20,300}$/);
  });

  it('names what is mounted in the place of the volume', () => {
    expect(refusalOf({ seen: downSeen({ strayMount: stray }) })?.message).toContain('ext4 from /dev/sdb');
  });
});

describe('decide: a mounted volume', () => {
  const otherOwner = { ...settings, owner: { uid: 1000, gid: 1000, mode: '0750' } };
  const rows: readonly (readonly [title: string, world: World, kind: Decision['action']['kind']])[] = [
    ['rests when all is as wanted', { seen: mountedSeen() }, 'rest'],
    ['is healed when btrfs turned it read-only', { seen: mountedSeen({ tree: treeOf({ readOnly: true }) }) }, 'heal'],
    ['A4 gets another label', { wish: { settings: { ...settings, label: 'x' } }, seen: mountedSeen() }, 'tune'],
    ['gets another owner', { wish: { settings: otherOwner }, seen: mountedSeen() }, 'tune'],
    ['A7 gets other options', { wish: { settings: { ...settings, discard: 'Off' } }, seen: mountedSeen() }, 'tune'],
    [
      'C15 does not ask again for an option that the kernel refused',
      {
        wish: { settings: { ...settings, discard: 'Sync' } },
        seen: mountedSeen(),
        memory: { refusedOptions: ['discard=sync'] },
      },
      'rest',
    ],
  ];
  it.each(rows)('%s', (_, world, kind) => expect(decided(world)).toEqual({ action: { kind } }));
});

describe('decide: a volume that adopts', () => {
  const orphan = '5d0a0b5e-1f5c-4a3a-9a39-0f1b2c3d4e5f';
  const wish = { adopt: orphan };
  it.each<readonly [title: string, world: World, action: Decision['action']]>([
    ['nothing of its own is there: it adopts', { wish, seen: nothingSeen() }, { kind: 'adopt', uid: orphan }],
    [
      'on a full node too: nothing is made',
      { wish, seen: nothingSeen(), host: pressure },
      { kind: 'adopt', uid: orphan },
    ],
    [
      'one that was begun goes on before anything else, whatever is there',
      { wish, seen: nothingSeen({ record: recordOf({ adopting: orphan }) }) },
      { kind: 'adopt', uid: orphan },
    ],
    [
      'one that was begun goes on when the image has come',
      { wish, seen: downSeen({ record: recordOf({ adopting: orphan }) }) },
      { kind: 'adopt', uid: orphan },
    ],
    ['what it has adopted is brought up as any other', { wish, seen: downSeen() }, { kind: 'bring-up' }],
  ])('C8 %s', (_, world, action) => expect(decided(world)).toEqual({ action }));

  it('C2 what it had adopted and is gone is not adopted anew, and an image in its place is left as it is', () => {
    expect(refusalOf({ wish, seen: nothingSeen(), memory: { hadData: true } })?.reason).toBe('BackingFileMissing');
    expect(refusalOf({ wish, seen: nothingSeen({ image: imageOf() }) })?.reason).toBe('ForeignFilesystem');
  });
});
