import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../../cluster/processes.ts';
import type { Lab } from '../lab.ts';
import { sha256 } from '../volumes/kernel.ts';
import { startWriter } from '../volumes/writer.ts';
import { pathOf, type SnapshotKit } from './kit.ts';
import { startSnapshotLab } from './snapshot-lab.ts';

/** So many of its newest files the writer keeps. */
const KEPT = 100;

let lab: Lab;
let agent: OperatorProcess;
let snapshots: SnapshotKit;
let dataPath: string;

beforeAll(async () => {
  ({ lab, agent, snapshots, dataPath } = await startSnapshotLab());
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

describe('Snapshot: of a volume that is being written to', () => {
  it('C12 Snapshot: holds all that was synced before it and a prefix of what came then, never a hole; nobody is frozen', async () => {
    const name = 'writer';
    await using writer = startWriter({ dataPath, logDir: lab.dir, name });
    await writer.writes(KEPT + 10);
    const before = new Map<string, number>();
    for (let turn = 0; turn < 6; turn++) {
      before.set(`busy-${turn}`, writer.acknowledged());
      await snapshots.create(`busy-${turn}`, 'demo', turn % 2 === 0 ? {} : { access: 'ReadWrite' });
      await writer.writes(3);
      await snapshots.ready(`busy-${turn}`);
    }
    await writer.writes(10);
    await writer.stop();
    const whole = readFileSync(path.join(dataPath, name, 'log'), 'utf8');
    for (const [snapshotName, acknowledged] of before) {
      const dir = path.join(pathOf(await snapshots.ready(snapshotName)), name);
      const log = readFileSync(path.join(dir, 'log'), 'utf8');
      expect(whole.startsWith(log) && log.endsWith('\n'), `log of ${snapshotName} is a prefix of whole lines`).toBe(
        true,
      );
      const lines = log.split('\n').slice(0, -1);
      expect(lines.length).toBeGreaterThanOrEqual(acknowledged);
      const sums = lines.slice(-KEPT).map((line) => line.split(' ') as [string, string]);
      expect(sums.filter(([file, sum]) => sha256(path.join(dir, file)) !== sum)).toEqual([]);
    }
    expect(agent.log()).not.toContain('freeze');
    await Promise.all([...before.keys()].map((each) => snapshots.remove(each)));
    rmSync(path.join(dataPath, name), { recursive: true });
  });
});
