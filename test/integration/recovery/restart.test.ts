import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { type OperatorProcess, startAgent } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { commandPathWith } from '../storage/store.ts';
import { loopsOf, mountsBelow, sh } from './host-view.ts';

const NAMES = Array.from({ length: 8 }, (_, index) => `vol-${index}`);
let lab: Lab;
let agent: OperatorProcess;
let volumes: LoopbackVolume[];

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  await Promise.all(NAMES.map((name) => lab.createVolume(name, { size: '256Mi' })));
  volumes = await Promise.all(NAMES.map((name) => lab.ready(name, 40_000)));
  for (const volume of volumes) writeFileSync(fileIn(volume), volume.metadata.uid);
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const fileIn = (volume: LoopbackVolume) => path.join(dataPathOf(volume), 'file');
const imagesOf = () => volumes.map(({ status }) => status.imagePath ?? '');
/** Loop devices and mounts with the ids that they have for their whole life. */
const inUse = () => [...imagesOf().flatMap(loopsOf), ...mountsBelow(lab.rootPath('node-a'))];

/** An agent beside those that the lab waits for. */
function startUnready(nodeName: string, rootPath: string): OperatorProcess {
  const { kubeconfigPath, dir } = lab;
  return startAgent({ kubeconfigPath, namespace: 'default', logDir: dir, nodeName, rootPath });
}

const passEnded = (operator: OperatorProcess, name: string) =>
  operator
    .log()
    .split('\n')
    .some((line) => line.includes(`"name":"${name}"`) && line.includes('pass ended'));

async function readiness(operator: OperatorProcess): Promise<string> {
  const answer = await fetch(new URL('/readyz', await operator.healthUrl()));
  return `${answer.status} ${await answer.text()}`;
}

describe('agent: end and start', () => {
  it('C17 agent: SIGTERM leaves every mount and loop device, within the grace period', async () => {
    const before = inUse();
    const startedAt = performance.now();
    expect(await agent.end(20_000)).toEqual({ code: 0, signal: null });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(inUse()).toEqual(before);
  });

  it('C3 agent: a restart uses live loop devices and mounts as they are, also after a kill', async () => {
    const before = inUse();
    for (const label of ['one', 'two']) {
      agent = await lab.startAgent('node-a');
      await lab.change('vol-0', { label });
      await lab.ready('vol-0');
      await waitFor(() => volumes.every(({ metadata }) => passEnded(agent, metadata.name)), { what: 'pass over all' });
      expect(inUse()).toEqual(before);
      agent.kill('SIGKILL');
      await agent.exited;
      expect(inUse()).toEqual(before);
    }
    for (const volume of volumes) expect(readFileSync(fileIn(volume), 'utf8')).toBe(volume.metadata.uid);
  });

  it('C3 agent: after a reboot all volumes come back by themselves, in parallel', async () => {
    for (const { status } of volumes) sh('umount', status.mountPath ?? '');
    for (const loopPath of imagesOf().flatMap(loopsOf)) sh('losetup', '--detach', loopPath);
    expect(inUse()).toEqual([]);
    const meetingPath = path.join(lab.dir, 'meeting');
    agent = await lab.startAgent('node-a', { commandPath: commandPathWith(mountsThatMeet(meetingPath, 4)) });
    await waitFor(() => mountsBelow(lab.rootPath('node-a')).length === NAMES.length, {
      what: 'all mounts',
      timeoutMs: 20_000,
    });
    expect(readFileSync(meetingPath, 'utf8')).not.toContain('alone');
    for (const { status, metadata } of volumes) {
      const [loopPath] = loopsOf(status.imagePath ?? '');
      const back = await lab.volumeThat(metadata.name, (volume) => volume.status.loopDevice === loopPath);
      expect(readFileSync(fileIn(back), 'utf8')).toBe(metadata.uid);
      await lab.ready(metadata.name);
    }
    expect(imagesOf().flatMap(loopsOf)).toHaveLength(NAMES.length);
  });

  it('C3 agent: of two on one root the second waits, says why, and takes over when the first ends', async () => {
    const before = inUse();
    const second = startUnready('node-a', lab.rootPath('node-a'));
    await waitFor(async () => (await readiness(second)).includes('another agent works on'), { what: 'refusal' });
    expect(await readiness(second)).toMatch(/^503 /);
    await lab.change('vol-0', { label: 'three' });
    await lab.ready('vol-0');
    expect(second.log()).not.toContain('pass ended');
    await agent.end();
    await second.ready();
    await lab.change('vol-0', { label: 'four' });
    await lab.ready('vol-0');
    expect(inUse()).toEqual(before);
    await second.end();
  });

  it('C18 agent: a root that can not be used is tried again, and readiness says so until it works', async () => {
    const inTheWayPath = path.join(lab.dir, 'in-the-way');
    writeFileSync(inTheWayPath, '');
    const late = startUnready('node-late', path.join(inTheWayPath, 'root'));
    await waitFor(async () => (await readiness(late)).includes(inTheWayPath), { what: 'reason in /readyz' });
    expect(await readiness(late)).toMatch(/^503 /);
    expect(late.running).toBe(true);
    sh('rm', inTheWayPath);
    await late.ready();
    await late.end();
  });
});

/** A directory with a mount(8) that waits until so many of them are under way, and notes one that stayed alone for 10 s. */
function mountsThatMeet(meetingPath: string, count: number): string {
  const shimsPath = `${meetingPath}-shims`;
  mkdirSync(shimsPath);
  const script = `#!/bin/bash
PATH=\${PATH#*:}
echo here >>${meetingPath}
for ((turn = 0; turn < 200; turn++)); do
  [ "$(wc -l <${meetingPath})" -ge ${count} ] && exec mount "$@"
  sleep 0.05
done
echo alone >>${meetingPath}
exec mount "$@"
`;
  writeFileSync(path.join(shimsPath, 'mount'), script, { mode: 0o755 });
  return shimsPath;
}
