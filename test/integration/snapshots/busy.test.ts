import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { sha256 } from '../volumes/kernel.ts';
import { startWriter } from '../volumes/writer.ts';
import { conditionOf, pathOf, type SnapshotKit, snapshotKit } from './kit.ts';
import { expectTreeToMatch } from './on-disk.ts';

const MiB = 1024 * 1024;
/** So many of its newest files the writer keeps. */
const KEPT = 100;
const MANY = 200;

let lab: Lab;
let agent: OperatorProcess;
let snapshots: SnapshotKit;
let dataPath: string;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  snapshots = snapshotKit(lab);
  await lab.createVolume('demo');
  dataPath = dataPathOf(await lab.ready('demo'));
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const secondsSince = (startedAt: number) => ((performance.now() - startedAt) / 1000).toFixed(1);

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

describe(`Snapshot: ${MANY} at once`, () => {
  it(`D6 D14 Snapshot: ${MANY} applied at once all become Ready; deleted at once, their space is back within 30 s`, async () => {
    mkdirSync(path.join(dataPath, 'many'));
    const file = path.join(dataPath, 'many', 'file');
    execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=64', 'conv=fsync', 'status=none']);
    const names = Array.from({ length: MANY }, (_, index) => `many-${index}`);
    const mine = async () => (await snapshots.client.list()).filter(({ metadata }) => names.includes(metadata.name));
    const createdAt = performance.now();
    await Promise.all(names.map((name) => snapshots.create(name, 'demo')));
    const all = await waitFor(
      async () => {
        const list = await mine();
        return list.filter((one) => conditionOf(one, 'Ready')?.status === 'True').length === MANY && list;
      },
      { what: `${MANY} Ready Snapshots`, timeoutMs: 60_000, everyMs: 200 },
    );
    console.log(`${MANY} Snapshots Ready after ${secondsSince(createdAt)} s`);
    const volume = await lab.ready('demo');
    expectTreeToMatch(volume, all);

    rmSync(path.join(dataPath, 'many'), { recursive: true });
    execFileSync('btrfs', ['filesystem', 'sync', dataPath]);
    const freeBytes = () => {
      const { bsize, bavail } = statfsSync(dataPath);
      return bsize * bavail;
    };
    const before = freeBytes();
    const deletedAt = performance.now();
    await Promise.all(names.map((name) => snapshots.client.delete(`default/${name}`)));
    await waitFor(() => freeBytes() - before > 60 * MiB, { what: 'space', timeoutMs: 30_000, everyMs: 100 });
    console.log(`space of ${MANY} deleted Snapshots back after ${secondsSince(deletedAt)} s`);
    await waitFor(async () => (await mine()).length === 0, { what: 'end of all', timeoutMs: 30_000, everyMs: 200 });
    console.log(`${MANY} Snapshots gone after ${secondsSince(deletedAt)} s`);
    expectTreeToMatch(await lab.ready('demo'), []);
  });
});
