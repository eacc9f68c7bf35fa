import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BtrfsNode } from '../../../src/api/btrfs-node.ts';
import { findCondition } from '../../../src/api/conditions.ts';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { type AgentConfig, loadConfig } from '../../../src/config.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { type Ext4Loop, holdMount, loopsOf, mountExt4, mountsBelow, sh } from './host-view.ts';
import { createPod, deletePods } from './pods.ts';

const MiB = 1024 ** 2;
const DATA = Buffer.alloc(4 * MiB, 'acknowledged');
let lab: Lab;
let host: Ext4Loop;
let agent: OperatorProcess;
let keep: LoopbackVolume;

/** The node promises more than it has: only so can volumes fill it up. */
const startAgent = () =>
  lab.startAgent('node-a', { rootPath: path.join(host.mountPath, 'root'), flags: ['--overcommit-ratio=20'] });

beforeAll(async () => {
  lab = await startLab();
  host = mountExt4(lab.dir, 'host', 512);
  agent = await startAgent();
  await Promise.all(['keep', 'small'].map((name) => lab.createVolume(name, { size: '400Mi' })));
  keep = await lab.ready('keep');
  await lab.ready('small');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const fillerPath = () => path.join(host.mountPath, 'filler');
/** Something else on the node takes all of its file system but so many MiB. */
function leaveFree(mebibytes: number): void {
  const free = Number(sh('df', '--block-size=1M', '--output=avail', host.mountPath).split('\n').at(-1));
  sh('fallocate', '--offset', `${4096 * MiB}`, '--length', '1', fillerPath());
  sh('fallocate', '--length', `${(free - mebibytes) * MiB}`, fillerPath());
}

const nodeThat = (is: (node: BtrfsNode) => boolean) =>
  waitFor(
    async () => {
      const node = await lab.btrfsNodes.get('node-a');
      return node !== undefined && is(node) ? node : undefined;
    },
    { what: 'BtrfsNode as expected' },
  );

const isReadOnly = (volume: LoopbackVolume) =>
  / ro[, ]/.test(sh('grep', ` ${volume.status.mountPath} `, '/proc/self/mountinfo'));

/** Writes a file and waits until it is on disk: from then on it has to stay. */
function writeDurably(filePath: string, data: Buffer): void {
  const file = openSync(filePath, 'w');
  try {
    writeSync(file, data);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Writes small files, whose content is metadata, until a commit finds no place for it and btrfs gives up. */
async function writeUntilReadOnly(volume: LoopbackVolume): Promise<void> {
  let number = 0;
  const fill = () => {
    for (const until = number + 500; number < until; number++) {
      writeFileSync(path.join(dataPathOf(volume), `small-${number}`), randomBytes(1900));
    }
    // By itself a commit comes every 30 s.
    sh('btrfs', 'filesystem', 'sync', dataPathOf(volume));
  };
  await waitFor(
    () => {
      try {
        fill();
      } catch {
        // EIO or EROFS: what the mount table says counts
      }
      return isReadOnly(volume);
    },
    { what: 'read-only volume', timeoutMs: 30_000, everyMs: 5 },
  );
}

describe("LoopbackVolume: the node's file system fills up", () => {
  it('LoopbackVolume: before it is full node and volumes say so, and new volumes and growth are refused', async () => {
    writeDurably(path.join(dataPathOf(keep), 'file'), DATA);
    await agent.end();
    await lab.createVolume('placed', { size: '256Mi', nodeName: 'node-a' });
    await lab.volumeThat('placed', ({ status }) => status.nodeName === 'node-a');
    leaveFree(40);
    agent = await startAgent();
    const node = await nodeThat(({ status }) => findCondition(status.conditions, 'HostPressure')?.status === 'True');
    expect(findCondition(node.status.conditions, 'HostPressure')?.message).toContain('until 12 %');

    await lab.withReason('keep', 'CapacityPressure', 'HostPressure');
    const placed = await lab.withReason('placed', 'Ready', 'HostPressure');
    expect(conditionOf(placed, 'Ready')?.message).toMatch(/not made.*free space on the node/);
    await lab.createVolume('late', { size: '256Mi' });
    const late = await lab.withReason('late', 'Scheduled', 'NoNodeFits');
    expect(conditionOf(late, 'Scheduled')?.message).toContain('node-a');
    await lab.change('keep', { size: '450Mi' });
    const refused = await lab.withReason('keep', 'Resized', 'HostPressure');
    expect(conditionOf(refused, 'Resized')).toMatchObject({
      status: 'False',
      message: expect.stringContaining('stays at 400Mi'),
    });
    expect(conditionOf(refused, 'Ready')?.status).toBe('True');
    expect(refused.status.sizeBytes).toBe(400 * MiB);
  });

  it('rule 11 LoopbackVolume: one that btrfs turned read-only says so within 15 s, and is not touched while the node is full', async () => {
    leaveFree(0);
    await writeUntilReadOnly(keep);
    const mounts = mountsBelow(keep.status.mountPath ?? '');
    const said = await lab.withReason('keep', 'Ready', 'ReadOnly', 15_000);
    expect(conditionOf(said, 'Ready')).toMatchObject({
      status: 'False',
      message: expect.stringContaining('free space on the node'),
    });
    expect(mountsBelow(keep.status.mountPath ?? '')).toEqual(mounts);
    const { watchIntervalSeconds } = loadConfig(['agent', '--node-name=x'], {}) as AgentConfig;
    expect(watchIntervalSeconds).toBeLessThan(10); // what 15 s need where nobody set it shorter
  });

  it('rule 11 LoopbackVolume: with space again, but used by a pod, it says ReadOnlyNeedsRestart and names the pod', async () => {
    await createPod(lab, 'user', dataPathOf(keep));
    await using holder = await holdMount(keep.status.mountPath ?? '');
    const held = openSync(path.join(dataPathOf(keep), 'file'), 'r');
    try {
      rmSync(fillerPath());
      const waiting = await lab.withReason('keep', 'Ready', 'ReadOnlyNeedsRestart');
      expect(conditionOf(waiting, 'Ready')?.message).toContain('default/user');
      expect(readFileSync(path.join(dataPathOf(keep), 'file')).equals(DATA)).toBe(true);
    } finally {
      closeSync(held);
    }
    const elsewhere = (volume: LoopbackVolume) =>
      /another mount namespace/.test(conditionOf(volume, 'Ready')?.message ?? '');
    const still = await lab.volumeThat('keep', elsewhere);
    expect(conditionOf(still, 'Ready')).toMatchObject({ status: 'False', reason: 'ReadOnlyNeedsRestart' });
    expect(loopsOf(keep.status.imagePath ?? '')).toEqual([keep.status.loopDevice]);
    await holder.end();
    await deletePods(lab, 'user');
  });

  it('rule 11 LoopbackVolume: unused it is healed, without losing what was acknowledged; what waited for space goes on', async () => {
    const healed = await lab.ready('keep');
    expect(isReadOnly(healed)).toBe(false);
    expect(readFileSync(path.join(dataPathOf(healed), 'file')).equals(DATA)).toBe(true);
    writeDurably(path.join(dataPathOf(healed), 'after'), DATA);
    expect(sh('btrfs', 'scrub', 'start', '-B', healed.status.mountPath ?? '')).toContain('no errors found');
    const grown = await lab.withReason('keep', 'Resized', 'SizeReached');
    expect(grown.status.sizeBytes).toBe(450 * MiB);
    for (const name of ['placed', 'late', 'small']) await lab.ready(name);
    await nodeThat(({ status }) => findCondition(status.conditions, 'HostPressure')?.status === 'False');
  });
});
