import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { loopsOf, sh } from './host-view.ts';

const OWNER = { uid: 1000, gid: 1000, mode: '0700' };
let lab: Lab;
let agent: OperatorProcess;
let frozen: LoopbackVolume;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a', { flags: ['--concurrency=2', '--shutdown-grace-seconds=1'] });
  await Promise.all(['frozen', 'other'].map((name) => lab.createVolume(name, { size: '256Mi' })));
  frozen = await lab.ready('frozen');
  await lab.ready('other');
  sh('fsfreeze', '--freeze', frozen.status.mountPath ?? '');
  await lab.change('frozen', { owner: OWNER });
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** The life of other volumes, on a node that works on two at once. */
async function othersLive(round: string): Promise<void> {
  await lab.change('other', { label: round, size: round === 'one' ? '300Mi' : '400Mi' });
  const names = [`${round}-a`, `${round}-b`, `${round}-c`];
  await Promise.all(names.map((name) => lab.createVolume(name, { size: '256Mi' })));
  for (const name of [...names, 'other']) {
    const volume = await lab.ready(name);
    writeFileSync(path.join(dataPathOf(volume), 'file'), name);
  }
  await Promise.all(names.map((name) => lab.remove(name)));
}

describe('LoopbackVolume: one of them frozen', () => {
  it('rule 13 agent: a volume whose commands hang holds up no other', async () => {
    await othersLive('one');
  });

  it('C17 agent: SIGTERM ends it in its grace period while a command hangs', async () => {
    const startedAt = performance.now();
    await agent.end(20_000);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
  });

  it('rule 13 LoopbackVolume: a command that an earlier agent started fences its volume, which is said, and no other', async () => {
    agent = await lab.startAgent('node-a', { flags: ['--concurrency=2'] });
    const stuck = await lab.withReason('frozen', 'Reconciling', 'CommandStuck');
    expect(conditionOf(stuck, 'Reconciling')?.message).toContain('still works on the image');
    await othersLive('two');
    expect(loopsOf(frozen.status.imagePath ?? '')).toEqual([frozen.status.loopDevice]);
  });

  it('rule 13 LoopbackVolume: thawed it goes on by itself', async () => {
    sh('fsfreeze', '--unfreeze', frozen.status.mountPath ?? '');
    const volume = await lab.ready('frozen');
    expect(sh('stat', '--format=%u %g %a', dataPathOf(volume))).toBe('1000 1000 700');
    expect(volume.status.loopDevice).toBe(frozen.status.loopDevice);
  });
});
