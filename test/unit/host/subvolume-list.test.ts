import { describe, expect, it } from 'vitest';
import { listNesting, parseSubvolumeList } from '../../../src/host/subvolume-list.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { textFixture } from '../../builders/fixtures.ts';
import { scriptedRun } from '../../fakes/scripted-run.ts';

const SNAPSHOT = '.btrfs-operator/snapshots/0c29a5f0-8c8e-4a53-9a77-3b3d8d3f6c11';
const DATA = 'a154134f-f077-fb49-af2f-f1b8682e19c5';
const COMMITTED = 'fba15105-97ca-7d4e-917b-4730f5c40625';

describe('parseSubvolumeList', () => {
  it('parseSubvolumeList: ids, uuids, parents and where it was received from', () => {
    expect(parseSubvolumeList(textFixture('btrfs-6.2-subvolume-list-tree'))).toEqual([
      { id: 257, generation: 7, uuid: DATA, path: '.btrfs-operator/data' },
      { id: 258, generation: 8, uuid: COMMITTED, parentUUID: DATA, path: `${SNAPSHOT}/ro` },
      {
        id: 259,
        generation: 8,
        uuid: '513aafca-34fd-2f49-a8fa-e5586a2f27ad',
        parentUUID: COMMITTED,
        path: `${SNAPSHOT}/rw`,
      },
      {
        id: 260,
        generation: 9,
        uuid: '2d1dacaa-c388-2a43-a328-e471c9ca6711',
        receivedUUID: COMMITTED,
        path: '.btrfs-operator/staging/ro',
      },
    ]);
  });

  it('parseSubvolumeList: a list of read-only ones has the same lines', () => {
    const ids = parseSubvolumeList(textFixture('btrfs-6.2-subvolume-list-read-only')).map(({ id }) => id);
    expect(ids).toEqual([258, 260]);
  });

  it('parseSubvolumeList: nothing is an empty list', () => {
    expect(parseSubvolumeList('')).toEqual([]);
  });

  it.each([
    ['a list of another shape', textFixture('btrfs-6.2-subvolume-list-nesting-forged')],
    ['half a line', 'ID 257 gen 7 top level 256 parent_uuid - rece\n'],
    ['an error on stdout', 'ERROR: not a btrfs filesystem\n'],
    ['no uuid', `ID 257 gen 7 top level 256 parent_uuid - received_uuid - uuid - path data\n`],
  ])('parseSubvolumeList: %s is refused, not left out', (_, stdout) => {
    expect(() => parseSubvolumeList(stdout)).toThrow(UnexpectedOutputError);
  });
});

describe('listNesting', () => {
  it('listNesting: holds every true line among those that names forge', async () => {
    const stdout = textFixture('btrfs-6.2-subvolume-list-nesting-forged');
    const { run } = scriptedRun([[/^btrfs subvolume list -p -- \/tree$/, stdout]]);
    const nesting = await listNesting(run, '/tree');
    for (const [id, parentId] of [
      [256, 5],
      [257, 256],
      [258, 256],
      [259, 256],
      [260, 256],
      [261, 259],
      [262, 259],
      [263, 262],
    ])
      expect(nesting).toContainEqual({ id, parentId });
    expect(nesting).toContainEqual({ id: 257, parentId: 260 }); // forged: to be proven before it is used
    expect(nesting).not.toContainEqual(expect.objectContaining({ id: 4242 }));
  });
});
