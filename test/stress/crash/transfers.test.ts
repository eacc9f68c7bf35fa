import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFailed } from 'vitest';
import { waitFor } from '../../cluster/wait-for.ts';
import { describeCoverage, notStruck, type Subject, strikeEveryBoundary, type Turn } from '../../crash/boundaries.ts';
import type { Fault } from '../../crash/shims.ts';
import { type SupervisedAgent, startSupervisedAgent } from '../../crash/supervised-agent.ts';
import { dataPathOf, type Lab, startLab } from '../../integration/lab.ts';
import { mountsBelow } from '../../integration/recovery/host-view.ts';
import { conditionOf, pathOf, type SnapshotKit, snapshotKit } from '../../integration/snapshots/kit.ts';
import { type Manifest, manifestOf } from '../../integration/snapshots/manifest.ts';
import { expectTreeToMatch } from '../../integration/snapshots/on-disk.ts';

const MiB = 1024 * 1024;
/** What tools refuse or lie about is tried on transfers to another volume, which run the same commands. */
const FAULTS: readonly Fault[] = ['kill-before', 'kill-after'];
const source = { source: { snapshotRef: { name: 'next' } } };

let lab: Lab;
let snapshots: SnapshotKit;
let sender: SupervisedAgent;
let receiver: SupervisedAgent;
let baseUUID: string | undefined;
let expected: Manifest;

beforeAll(async () => {
  lab = await startLab();
  snapshots = snapshotKit(lab);
  sender = await startSupervisedAgent(lab, 'node-a');
  receiver = await startSupervisedAgent(lab, 'node-b');
  await lab.createVolume('here', { nodeName: 'node-a' });
  await lab.createVolume('there', { nodeName: 'node-b' });
  const dataPath = dataPathOf(await lab.ready('here'));
  await lab.ready('there');
  mkdirSync(path.join(dataPath, 'bare'));
  writeFileSync(path.join(dataPath, 'file'), Buffer.alloc(4 * MiB, 'parent'));
  await snapshots.create('base', 'here');
  baseUUID = (await snapshots.ready('base')).status.uuid;
  await snapshots.create('base-copy', 'there', { source: { snapshotRef: { name: 'base' } } });
  await snapshots.ready('base-copy', 30_000);
  writeFileSync(path.join(dataPath, 'more'), Buffer.alloc(2 * MiB, 'child'));
  await snapshots.create('next', 'here');
  expected = await manifestOf(pathOf(await snapshots.ready('next')), 'bare');
});
afterAll(async () => {
  await Promise.all([sender?.stop(), receiver?.stop()]);
  await lab?.[Symbol.asyncDispose]();
});
beforeEach(() => onTestFailed(() => console.error(sender.logTails(), receiver.logTails())));

let isWanted = false;

/** The copy is there as its object says, or gone. */
async function settled(): Promise<void> {
  const check = async () => {
    const copy = await snapshots.client.get('default/copy');
    return isWanted ? copy !== undefined && conditionOf(copy, 'Ready')?.status === 'True' : copy === undefined;
  };
  await waitFor(check, { what: isWanted ? 'Ready copy' : 'end of the copy', timeoutMs: 90_000 });
}

async function expectConvergence(): Promise<void> {
  await settled();
  const names = isWanted ? ['base-copy', 'copy'] : ['base-copy'];
  const there = await Promise.all(names.map((name) => snapshots.ready(name, 30_000)));
  const volume = await lab.ready('there', 60_000);
  expectTreeToMatch(volume, there);
  expect(mountsBelow(receiver.rootPath).filter((line) => line.includes('.receiving-'))).toEqual([]);
  const copy = there[1];
  if (copy === undefined) return;
  // Who died after the last byte can't say how it came; but nobody says that it still comes.
  const { phase = 'Done', incrementalFrom } = copy.status.transfer ?? {};
  expect(phase).toBe('Done');
  expect([undefined, baseUUID]).toContain(incrementalFrom);
  expect(await manifestOf(pathOf(copy), 'bare')).toEqual(expected);
}

const turns: readonly Turn<Subject>[] = [
  {
    name: 'transfer from another node',
    async change() {
      isWanted = true;
      await snapshots.create('copy', 'there', source);
    },
  },
  {
    name: 'removal',
    repeats: true,
    async change() {
      isWanted = false;
      await snapshots.client.delete('default/copy');
    },
  },
];

describe('Snapshot: agents that die between two commands of a transfer', () => {
  for (const end of ['sender', 'receiver'] as const) {
    it(`Snapshot: at every command of the ${end} it comes to the same end`, async () => {
      const agent = end === 'sender' ? sender : receiver;
      const rows = await strikeEveryBoundary({ agent, settled, expectConvergence }, turns, FAULTS, 'each-verb');
      for (const row of rows) {
        console.log(describeCoverage(row));
        expect(notStruck(row, ['kill-after'])).toEqual([]);
      }
      expect(agent.deaths).toBeGreaterThan(0);
      expect(rows[0]?.struck.map(({ command }) => command.text).join('\n')).toContain(
        end === 'sender' ? 'btrfs send' : 'btrfs receive',
      );
    }, 400_000);
  }
});
