import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import type { Lab } from '../../integration/lab.ts';
import { pathOf, type SnapshotKit } from '../../integration/snapshots/kit.ts';
import { allocatedBytesOf, manifestOf } from '../../integration/snapshots/manifest.ts';
import { expectTreeToMatch } from '../../integration/snapshots/on-disk.ts';
import { changeTree, createRandom, listenIn, writeTree } from '../../integration/snapshots/random-tree.ts';
import { startSnapshotLab } from '../../integration/snapshots/snapshot-lab.ts';

/** To repeat what a run has printed. */
const SEED = Number(process.env.ROUND_TRIP_SEED ?? Math.floor(Math.random() * 2 ** 31));
const INCREMENTS = 10;
const KiB = 1024;

let lab: Lab;
let snapshots: SnapshotKit;
let dataPath: string;

beforeAll(async () => {
  ({ lab, snapshots, dataPath } = await startSnapshotLab({ here: 'node-a', there: 'node-b' }));
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

interface Pair {
  readonly source: Snapshot;
  readonly copy: Snapshot;
  readonly things: number;
}

/** A snapshot of the data now, and its copy on the other node, the same in all that can be read. */
async function makePair(turn: number): Promise<Pair> {
  await snapshots.create(`turn-${turn}`, 'here');
  const source = await snapshots.ready(`turn-${turn}`, 30_000);
  await snapshots.create(`copy-${turn}`, 'there', { source: { snapshotRef: { name: `turn-${turn}` } } });
  const copy = await snapshots.ready(`copy-${turn}`, 60_000);
  const [expected, found] = await Promise.all([manifestOf(pathOf(source), 'many'), manifestOf(pathOf(copy), 'many')]);
  // Both ways and not as a whole: a difference is shown without 10,000 lines around it.
  const [were, are] = [new Set(expected), new Set(found)];
  expect({ lost: expected.filter((line) => !are.has(line)), wrong: found.filter((line) => !were.has(line)) }).toEqual({
    lost: [],
    wrong: [],
  });
  expect(found.length).toBe(expected.length);
  return { source, copy, things: found.length };
}

describe('Snapshot: sent to another node', () => {
  it(`Snapshot: a tree of all sorts and ${INCREMENTS} increments arrive the same in bytes and metadata (ROUND_TRIP_SEED=${SEED})`, async () => {
    console.log(`ROUND_TRIP_SEED=${SEED}`);
    const random = createRandom(SEED);
    writeTree(dataPath, random);
    const pairs: Pair[] = [];
    {
      await using _socket = await listenIn(dataPath);
      pairs.push(await makePair(0));
    }
    expect(pairs[0]?.things).toBeGreaterThan(10_000);
    expect(pairs[0]?.copy.status.transfer?.incrementalFrom).toBeUndefined();
    for (let turn = 1; turn <= INCREMENTS; turn++) {
      changeTree(dataPath, random, turn);
      const pair = await makePair(turn);
      expect(pair.copy.status.transfer?.incrementalFrom).toBe(pairs.at(-1)?.source.status.uuid);
      expect(pair.copy.status.receivedUUID).toBe(pair.source.status.uuid);
      pairs.push(pair);
    }
    for (const { source, copy } of pairs) {
      const [before, after] = await Promise.all(
        [source, copy].map((each) => allocatedBytesOf(path.join(pathOf(each), 'sparse'))),
      );
      expect(after).toBeLessThanOrEqual((before ?? 0) + 64 * KiB);
    }
    const copies = await Promise.all(pairs.map((_, turn) => snapshots.ready(`copy-${turn}`)));
    expectTreeToMatch(await lab.ready('there'), copies);
  }, 240_000);
});
