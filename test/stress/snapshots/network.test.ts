import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import { createRandom } from '../../integration/snapshots/random-tree.ts';
import { startTwoNodes, type TwoNodes } from '../../integration/snapshots/two-nodes.ts';

/** To repeat what a run has printed. */
const SEED = Number(process.env.NETWORK_SEED ?? Math.floor(Math.random() * 2 ** 31));
const MiB = 1024 * 1024;
const FAULTS = 8;
const IDLE_SECONDS = 4;

let nodes: TwoNodes;

beforeAll(async () => {
  const flags = [`--transfer-idle-seconds=${IDLE_SECONDS}`];
  nodes = await startTwoNodes({ senderFlags: flags, receiverFlags: flags });
});
afterAll(() => nodes?.[Symbol.asyncDispose]());
beforeEach(() => {
  nodes.lab.showLogsOnFailure();
  nodes.proxy.release();
});

describe('Snapshot: a bad network between two nodes', () => {
  it(`Snapshot: connections cut and bytes flipped anywhere: tried again, never a wrong content (NETWORK_SEED=${SEED})`, async () => {
    console.log(`NETWORK_SEED=${SEED}`);
    const random = createRandom(SEED);
    const { proxy } = nodes;
    for (let index = 0; index < FAULTS; index++) {
      // The first in the handshake, the others anywhere.
      const atByte = random(index < 2 ? 3_000 : 24 * MiB);
      proxy.faults.push({ kind: index % 2 === 0 ? 'cut' : 'corrupt', atByte });
    }
    const before = proxy.connections;
    const names = ['torn-0', 'torn-1', 'torn-2', 'torn-3'];
    await Promise.all(names.map((name) => nodes.create(name)));
    for (const name of names) await nodes.snapshots.ready(name, 60_000);
    expect(proxy.faults).toEqual([]);
    // Each fault costs a try: no broken stream was taken for a whole one.
    expect(proxy.connections - before).toBe(FAULTS + names.length);
    for (const name of names) await nodes.expectWholeAndRemove(name);
  });

  it('Snapshot: a connection that stands still is given up, and tried again', async () => {
    const { proxy } = nodes;
    proxy.faults.push({ kind: 'stall', atByte: 5 * MiB });
    const before = proxy.connections;
    const copy = await nodes.create('stalled');
    const failed = await nodes.snapshots.withReason('stalled', 'Ready', 'TransferFailed', 40_000);
    expect(failed.status.uuid).toBeUndefined();
    await nodes.expectWholeAndRemove('stalled');
    expect(proxy.connections - before).toBe(2);
    for (const reason of ['TransferFailed', 'Transferred']) await nodes.lab.event(copy, reason);
  });
});

describe('Snapshot: progress of a transfer', () => {
  it('Snapshot: status.transfer grows with phase, bytes and rate, written every 5 s at most, and ends with Done', async () => {
    const { proxy, snapshots } = nodes;
    const seen = new Map<string, { readonly atMs: number; readonly transfer: Snapshot['status']['transfer'] }>();
    const watch = (async () => {
      for (;;) {
        const snapshot = await snapshots.client.get('default/slow');
        const text = JSON.stringify(snapshot?.status.transfer);
        if (text !== undefined && !seen.has(text)) {
          seen.set(text, { atMs: performance.now(), transfer: snapshot?.status.transfer });
        }
        if (snapshot?.status.uuid !== undefined) return;
        await sleep(50);
      }
    })();
    proxy.hold(MiB);
    await nodes.create('slow');
    const receiving = () => [...seen.values()].filter(({ transfer }) => transfer?.phase === 'Receiving');
    // As slow as it takes for three looks at it.
    while (receiving().length < 2) {
      await sleep(200);
      proxy.allow(MiB / 4);
    }
    proxy.release();
    await watch;
    const done = await snapshots.ready('slow');
    expect(done.status.transfer).toMatchObject({ phase: 'Done', why: expect.stringContaining('all of it') });
    expect(done.status.transfer?.bytes).toBeGreaterThan(24 * MiB);
    const [first, second] = receiving();
    expect(second?.transfer?.bytes).toBeGreaterThan(first?.transfer?.bytes ?? Number.POSITIVE_INFINITY);
    expect(second?.transfer?.bytesPerSecond).toBeGreaterThan(0);
    const writtenAt = [...seen.values()].filter(({ transfer }) => transfer?.phase !== 'Done').map(({ atMs }) => atMs);
    const gapsMs = writtenAt.slice(1).map((atMs, index) => atMs - (writtenAt[index] ?? 0));
    for (const gapMs of gapsMs) expect(gapMs).toBeGreaterThan(4_000);
    await nodes.expectWholeAndRemove('slow');
  });
});
