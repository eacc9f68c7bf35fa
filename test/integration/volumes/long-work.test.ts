import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { formatTime } from '../../../src/api/conditions.ts';
import { type DownloadServer, startDownloadServer } from '../../builders/download-server.ts';
import { nodeLost } from '../../builders/objects.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';

const MiB = 2 ** 20;
const DROP_BYTES = 32 * 1024;

let lab: Lab;
let server: DownloadServer;
let snapshots: SnapshotKit;
let stream: Buffer;
/** Ends of downloads that are held, by path. */
const held = new Map<string, () => void>();

beforeAll(async () => {
  [lab, server] = await Promise.all([startLab(), startDownloadServer()]);
  snapshots = snapshotKit(lab);
  const caFile = path.join(lab.dir, 'ca.pem');
  writeFileSync(caFile, server.caPem);
  await lab.startAgent('node-a', {
    flags: [
      '--concurrency=2',
      `--download-allowed-prefixes=${server.url}/`,
      `--download-ca-file=${caFile}`,
      '--download-allow-private-addresses=On',
      '--download-idle-seconds=120',
    ],
  });
  await Promise.all(['well', 'read-only'].map((name) => lab.createVolume(name, { nodeName: 'node-a' })));
  const { status } = await lab.ready('well');
  await lab.ready('read-only');
  const tree = status.mountPath ?? '';
  writeFileSync(path.join(tree, 'data/file'), Buffer.alloc(8 * MiB, 7));
  sh('btrfs', 'subvolume', 'snapshot', '-r', path.join(tree, 'data'), path.join(tree, 'sent'));
  sh('btrfs', 'send', '--quiet', '-f', path.join(lab.dir, 'stream'), path.join(tree, 'sent'));
  sh('btrfs', 'subvolume', 'delete', path.join(tree, 'sent'));
  stream = readFileSync(path.join(lab.dir, 'stream'));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});
beforeEach(() => lab.showLogsOnFailure());

/** A source that comes in drops, until it is no longer held. */
function heldSource(name: string) {
  server.answers.set(`/${name}`, (_request, response) => {
    let sent = 0;
    response.writeHead(200, { 'content-length': stream.length });
    const dripping = setInterval(() => {
      response.write(stream.subarray(sent, sent + DROP_BYTES));
      sent += DROP_BYTES;
    }, 500);
    response.once('close', () => clearInterval(dripping));
    held.set(name, () => {
      clearInterval(dripping);
      response.end(stream.subarray(sent));
    });
  });
  const sha256 = createHash('sha256').update(stream).digest('hex');
  return { source: { stream: { url: `${server.url}/${name}`, sha256 } } };
}

const asked = (name: string) => server.requests.filter((request) => request.includes(`/${name} `)).length;
const fillBegins = (name: string) => waitFor(() => held.has(name), { timeoutMs: 15_000, what: `${name} is filled` });

describe('slow fills that take all places for long work', () => {
  it('F12 LoopbackVolume: beside them a plain volume is made and deleted, and a read-only one is healed', async () => {
    for (const name of ['fill-1', 'fill-2']) {
      await lab.createVolume(name, { nodeName: 'node-a', ...heldSource(name) });
      await fillBegins(name);
    }
    await lab.createVolume('fill-3', { nodeName: 'node-a', ...heldSource('fill-3') });
    const waiting = await lab.volumeThat('fill-3', ({ status }) => status.import?.phase === 'Waiting', 15_000);
    expect(conditionOf(waiting, 'Ready')).toMatchObject({ status: 'False', reason: 'Filling' });

    await lab.createVolume('plain', { nodeName: 'node-a' });
    await lab.ready('plain');
    await lab.change('plain', { size: '1100Mi' });
    await lab.volumeThat('plain', ({ status }) => status.sizeBytes === 1100 * MiB, 15_000);
    await lab.remove('plain');
    const readOnly = await lab.ready('read-only');
    sh('mount', '--options', 'remount,ro', readOnly.status.mountPath ?? '');
    await lab.event(readOnly, 'Healed');
    writeFileSync(path.join(dataPathOf(await lab.ready('read-only')), 'file'), 'writable');
    expect([asked('fill-1'), asked('fill-2'), asked('fill-3')]).toEqual([1, 1, 0]);
  });

  it('F14 Snapshot: one that waits for its turn does not keep its volume from being unmounted', async () => {
    await snapshots.create('waiting', 'well', heldSource('waiting'));
    await snapshots.that('waiting', ({ status }) => status.transfer?.phase === 'Waiting');
    await lab.change('well', { mounted: false });
    await lab.withReason('well', 'Ready', 'Unmounted', 8_000);
    expect(asked('waiting')).toBe(0);
    await lab.change('well', { mounted: true });
    await lab.ready('well');
  });

  it('F23 LoopbackVolume: a change that does not concern a fill, or NodeLost, leaves it running; a deletion ends it', async () => {
    await lab.change('fill-1', { label: 'later', size: '1100Mi', owner: { uid: 7, gid: 7, mode: '0700' } });
    const lastTransitionTime = formatTime(new Date());
    const conditions = [{ ...nodeLost(), message: 'the agent was silent', lastTransitionTime }];
    const patch = JSON.stringify({ status: { conditions } });
    await lab.kubectl(['patch', 'loopbackvolume', 'fill-1', '--subresource=status', '--type=merge', '-p', patch]);
    await lab.remove('fill-2');
    held.get('fill-1')?.();
    const filled = await lab.ready('fill-1');
    expect(asked('fill-1')).toBe(1);
    expect(filled.status.sizeBytes).toBe(1100 * MiB);
    expect(sh('stat', '--format=%u %g %a', dataPathOf(filled))).toBe('7 7 700');
    expect(sh('btrfs', 'filesystem', 'label', filled.status.mountPath ?? '')).toBe('later');
  });

  it('F12 LoopbackVolume: what waited for a place goes on when one is free', async () => {
    await fillBegins('fill-3');
    held.get('fill-3')?.();
    const filled = await lab.ready('fill-3');
    expect(existsSync(path.join(dataPathOf(filled), 'file'))).toBe(true);
    await fillBegins('waiting');
    held.get('waiting')?.();
    await snapshots.ready('waiting');
  });
});
