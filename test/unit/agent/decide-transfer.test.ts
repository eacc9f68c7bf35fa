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
import { GIB, MIB, settings } from '../../builders/wishes.ts';
import { decided, type World } from '../../builders/worlds.ts';

type Row = readonly [title: string, world: World, decision: Decision];

const action = (kind: 'create' | 'restore-image' | 'bring-up' | 'bring-down' | 'fill' | 'remove-export' | 'rest') =>
  ({ action: { kind } }) satisfies Decision;
const sourced = { settings: { ...settings, content: 'FromSource' } } as const;
const { tree: _, ...untreed } = recordOf({ initialized: false });
const unfilled = recordOf({ initialized: false });
const pressure = { pressure: 'less than 10 % is free' };

describe('decide: a volume with a source', () => {
  const rows: readonly Row[] = [
    ['has an image first', { wish: sourced, seen: nothingSeen() }, action('create')],
    ['gets a lost image anew', { wish: sourced, seen: nothingSeen({ record: unfilled }) }, action('restore-image')],
    ['is filled before it is formatted', { wish: sourced, seen: downSeen({ record: untreed }) }, action('fill')],
    ['is filled after it is formatted', { wish: sourced, seen: downSeen({ record: unfilled }) }, action('fill')],
    [
      'is filled though it is to be unmounted',
      { wish: { ...sourced, mounted: false }, seen: downSeen({ record: unfilled }) },
      action('fill'),
    ],
    ['is brought up when it is whole', { wish: sourced, seen: downSeen() }, action('bring-up')],
    ['rests when it is up', { wish: sourced, seen: mountedSeen() }, action('rest')],
  ];
  it.each(rows)('a volume with a source %s', (_title, world, decision) => expect(decided(world)).toEqual(decision));

  it.each([
    [
      'C11 what did not fit',
      { memory: { refusedFill: { reason: 'SourceDoesNotFit', message: 'm', mendedBy: 'person' } } },
      'SourceDoesNotFit',
      'person',
    ],
    ['a full node', { host: pressure }, 'HostPressure', 'time'],
    [
      'more than the node has',
      { wish: { ...sourced, sizeBytes: 3 * GIB }, host: { growthBytes: GIB } },
      'NodeFull',
      'time',
    ],
  ] as const)('%s is not tried', (_title, world, reason, mendedBy) => {
    const { action: found } = decided({ wish: sourced, seen: downSeen({ record: unfilled }), ...world });
    expect(found).toMatchObject({ kind: 'refuse', refusal: { reason, mendedBy } });
  });
});

const minimize = { headroomBytes: 0, request: 'r1' };
const minimized = { request: 'r1', generation: 1, sizeBytes: GIB };
const away = { mounted: false, minimize } as const;
const golden = { ...sourced, ...away, exportFile: 'base.img' };
const readOnly = mountedSeen({ tree: treeOf({ readOnly: true }) });
const asked = { action: { kind: 'minimize', ...minimize } } satisfies Decision;

describe('decide: minimize and mounted: false', () => {
  const rows: readonly Row[] = [
    ['a mounted volume is minimized first', { wish: away, seen: mountedSeen() }, asked],
    ['a golden image is brought up for it', { wish: golden, seen: downSeen() }, action('bring-up')],
    ['an empty volume is not', { wish: away, seen: downSeen() }, action('rest')],
    [
      'what was minimized is put away',
      { wish: away, seen: mountedSeen({ record: recordOf({ minimized }) }) },
      action('bring-down'),
    ],
    [
      'what was minimized for another wish is too',
      { wish: away, seen: mountedSeen({ record: recordOf({ minimized: { ...minimized, request: 'r0' } }) }) },
      action('bring-down'),
    ],
    [
      'what can not be minimized is too',
      {
        wish: away,
        seen: mountedSeen(),
        memory: { refusedShrink: { targetBytes: GIB, reason: 'ShrinkDoesNotFit', message: 'm' } },
      },
      action('bring-down'),
    ],
    [
      'what waits for a quiet moment to be minimized is not',
      {
        wish: away,
        seen: mountedSeen(),
        memory: { refusedShrink: { targetBytes: GIB, reason: 'BusyVolume', message: 'm' } },
      },
      { ...action('rest'), resizeRefusal: { reason: 'BusyVolume', message: 'm', mendedBy: 'time' } },
    ],
    ['a read-only volume is too', { wish: away, seen: readOnly, host: pressure }, action('bring-down')],
    [
      'what is mounted from another file is too',
      { wish: away, seen: mountedSeen({ loops: [loopOf({ path: '/dev/loop9' })] }) },
      action('bring-down'),
    ],
    [
      'one with something else in its place is too',
      { wish: away, seen: downSeen({ strayMount: mountOf() }) },
      action('rest'),
    ],
  ];
  it.each(rows)('A24 %s', (_title, world, decision) => expect(decided(world)).toEqual(decision));
});

const target = { namespaceUid: 'n', file: 'base.img' };
const done = { sizeBytes: GIB, sha256: 'd', filesystemUUID: 'u', exportedAt: '2026-01-01T00:00:00.000Z' };
const exporting = { mounted: false, exportFile: 'base.img' } as const;
const exported = { record: recordOf({ export: { ...target, done } }), isExported: true };
const write = { action: { kind: 'export', file: 'base.img' } } satisfies Decision;

describe('decide: export', () => {
  const rows: readonly Row[] = [
    ['comes after unmounting', { wish: exporting, seen: mountedSeen() }, action('bring-down')],
    ['comes when all is detached', { wish: exporting, seen: downSeen({ loops: [loopOf()] }) }, action('bring-down')],
    ['is written', { wish: exporting, seen: downSeen() }, write],
    [
      'is written after an interrupted one',
      { wish: exporting, seen: downSeen({ record: recordOf({ export: target }) }) },
      write,
    ],
    [
      'is written again when the file is gone',
      { wish: exporting, seen: downSeen({ ...exported, isExported: false }) },
      write,
    ],
    ['is written once', { wish: exporting, seen: downSeen(exported) }, action('rest')],
    [
      'of another name takes the place',
      { wish: { ...exporting, exportFile: 'b' }, seen: downSeen(exported) },
      action('remove-export'),
    ],
    ['goes with the wish', { wish: { mounted: false }, seen: downSeen(exported) }, action('remove-export')],
    ['goes when the volume is in use again', { wish: exporting, seen: mountedSeen(exported) }, action('remove-export')],
    ['goes before the volume is brought up', { seen: downSeen(exported) }, action('remove-export')],
  ];
  it.each(rows)('an export %s', (_title, world, decision) => expect(decided(world)).toEqual(decision));

  it('an export waits for space on the node, and the volume is fine', () => {
    const { action: found, exportRefusal } = decided({ wish: exporting, seen: downSeen(), host: pressure });
    expect([found.kind, exportRefusal?.reason]).toEqual(['rest', 'HostPressure']);
  });

  it('a larger size of an unfilled volume counts from the image', () => {
    const seen = downSeen({ record: unfilled, image: imageOf({ sizeBytes: 200 * MIB }) });
    const world = { wish: { ...sourced, sizeBytes: GIB }, seen, host: { growthBytes: GIB - 200 * MIB } };
    expect(decided(world)).toEqual(action('fill'));
  });
});
