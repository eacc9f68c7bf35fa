import { mkdirSync, readdirSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { type Lab, startLab } from '../lab.ts';
import { conditionOf, pathOf, type SnapshotKit, snapshotKit } from './kit.ts';
import { expectTreeToMatch, subvolumesOf } from './on-disk.ts';

/** Something that nobody of the operator made is where a subvolume goes. */

let lab: Lab;
let agent: OperatorProcess;
let snapshots: SnapshotKit;
let treePath: string;

const isCommitted = (snapshot: Snapshot) => conditionOf(snapshot, 'Committed')?.status === 'True';
const child = { source: { snapshotRef: { name: 'base' } } };
const owner = { uid: 1000, gid: 1000, mode: '0700' };

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  snapshots = snapshotKit(lab);
  await lab.createVolume('demo');
  treePath = (await lab.ready('demo')).status.mountPath ?? '';
  await snapshots.create('base', 'demo');
  await snapshots.ready('base');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** A Snapshot of which the agent, which comes back only then, finds this in the place of the subvolume. */
async function occupied(name: string, spec: Record<string, unknown>, occupy: (placePath: string) => void) {
  await agent.end();
  await snapshots.create(name, 'demo', spec);
  const { metadata } = await snapshots.that(name, ({ status }) => status.nodeName !== undefined);
  const place = spec.access === 'ReadWrite' ? 'rw' : 'ro';
  const placePath = path.join(treePath, 'snapshots', metadata.uid, place);
  mkdirSync(path.dirname(placePath), { mode: 0o700 });
  occupy(placePath);
  const before = subvolumesOf(treePath);
  agent = await lab.startAgent('node-a');
  return { placePath, before };
}

const withFile = (placePath: string) => {
  mkdirSync(placePath);
  writeFileSync(path.join(placePath, 'keep'), 'foreign');
};

describe('Snapshot: something foreign is where the subvolume goes', () => {
  const cases: readonly (readonly [what: string, spec: Record<string, unknown>])[] = [
    ['of the volume', {}],
    ['of a Snapshot', child],
    ['of a Snapshot, writable', { ...child, access: 'ReadWrite' }],
    ['with an owner', { ...child, owner }],
    ['with an owner, writable', { ...child, owner, access: 'ReadWrite' }],
    ['from nothing', { source: { empty: {} }, access: 'ReadWrite' }],
  ];

  it.for(cases.map((each, index) => [index, ...each] as const))(
    'B5 Snapshot: %i: one %s is not made in a directory that is there, nor in its place; it says which, and goes on when that is gone',
    async ([index, , spec]) => {
      const name = `full-${index}`;
      const { placePath, before } = await occupied(name, spec, withFile);
      const refused = await snapshots.withReason(name, 'Ready', 'CommandFailed', 20_000);
      expect(conditionOf(refused, 'Ready')).toMatchObject({
        status: 'False',
        message: expect.stringContaining(`${placePath} exists`),
      });
      const staged = `staging/${refused.metadata.uid}`;
      expect(subvolumesOf(treePath).filter((each) => each !== staged)).toEqual(before);
      expect(readdirSync(placePath)).toEqual(['keep']);
      rmSync(placePath, { recursive: true });
      const made = await snapshots.ready(name, 40_000);
      expect(readdirSync(pathOf(made))).toEqual([]);
    },
  );

  it('B5 Snapshot: an empty directory is no place to be taken over either', async () => {
    for (const [name, access] of [
      ['empty-ro', 'ReadOnly'],
      ['empty-rw', 'ReadWrite'],
    ] as const) {
      const { placePath } = await occupied(name, { ...child, owner, access }, (dirPath) => mkdirSync(dirPath));
      const { ino } = statSync(placePath);
      await snapshots.withReason(name, 'Ready', 'CommandFailed', 20_000);
      expect([readdirSync(placePath), statSync(placePath).ino]).toEqual([[], ino]);
      rmdirSync(placePath);
      await snapshots.ready(name, 40_000);
    }
  });

  it('B5 Snapshot: a commit is not made in a directory that is there; the writable one stays as it is', async () => {
    await snapshots.create('commit', 'demo', { ...child, access: 'ReadWrite' });
    const { metadata, status } = await snapshots.ready('commit');
    writeFileSync(path.join(status.path ?? '', 'result'), 'work');
    const placePath = path.join(treePath, 'snapshots', metadata.uid, 'ro');
    withFile(placePath);
    await snapshots.change('commit', { access: 'ReadOnly' });
    const refused = await snapshots.withReason('commit', 'Ready', 'CommandFailed', 20_000);
    expect(conditionOf(refused, 'Ready')?.message).toContain(`${placePath} exists`);
    expect([isCommitted(refused), readdirSync(placePath), readdirSync(status.path ?? '')]).toEqual([
      false,
      ['keep'],
      ['result'],
    ]);
    rmSync(placePath, { recursive: true });
    const result = await snapshots.that('commit', isCommitted, 40_000);
    expect(readdirSync(pathOf(result))).toEqual(['result']);
  });

  it('D6 Snapshot: after all that, the volume holds what the objects say and nothing else', async () => {
    await Promise.all((await snapshots.client.list()).map(({ metadata }) => snapshots.ready(metadata.name)));
    expectTreeToMatch(await lab.ready('demo'), await snapshots.client.list());
  });
});
