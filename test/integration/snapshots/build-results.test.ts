import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import { collectGarbageOf } from '../../cluster/garbage.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { conditionOf, pathOf, type SnapshotKit, snapshotKit } from './kit.ts';
import { expectTreeToMatch, subvolumesOf } from './on-disk.ts';

/** Builds whose results are Snapshots: a name is the id of a result, and a ReadWrite Snapshot is where it is made. */

let lab: Lab;
let agent: OperatorProcess;
let snapshots: SnapshotKit;
let treePath: string;

const empty = { source: { empty: {} }, access: 'ReadWrite' };
const childOf = (name: string) => ({ source: { snapshotRef: { name } }, access: 'ReadWrite' });
const isCommitted = (snapshot: Snapshot) => conditionOf(snapshot, 'Committed')?.status === 'True';
const fileOf = (snapshot: Snapshot, name: string) => path.join(pathOf(snapshot), name);
const read = (snapshot: Snapshot, name: string) => readFileSync(fileOf(snapshot, name), 'utf8');
const dirOf = ({ metadata }: Snapshot) => path.join(treePath, 'snapshots', metadata.uid);

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  snapshots = snapshotKit(lab);
  await lab.createVolume('demo');
  treePath = (await lab.ready('demo')).status.mountPath ?? '';
  await built('base');
  await committed('base');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** A writable one in which a build has left its name. */
async function built(name: string, spec: Record<string, unknown> = empty): Promise<Snapshot> {
  await snapshots.create(name, 'demo', spec);
  const snapshot = await snapshots.ready(name);
  writeFileSync(fileOf(snapshot, 'result'), name);
  return snapshot;
}

async function committed(name: string): Promise<Snapshot> {
  await snapshots.change(name, { access: 'ReadOnly' });
  return await snapshots.that(name, isCommitted);
}

/** A process that writes a line into the file every few milliseconds, until it is killed. */
async function startWriter(filePath: string) {
  const script = 'i=0; while :; do i=$((i + 1)); echo "line $i"; sleep 0.02; done >>"$1"';
  const args = ['--pdeathsig', 'KILL', '--', 'sh', '-c', script, 'sh', filePath];
  const writer = spawn('setpriv', args, { stdio: 'ignore' });
  await waitFor(() => existsSync(filePath) && readFileSync(filePath, 'utf8').includes('line 3\n'), { what: 'lines' });
  return {
    async kill() {
      writer.kill('SIGKILL');
      await once(writer, 'exit');
    },
  };
}

describe('Snapshot: where a build works', () => {
  it('B7 Snapshot: an empty one is an empty directory to build in', async () => {
    await snapshots.create('from-nothing', 'demo', empty);
    const snapshot = await snapshots.ready('from-nothing');
    expect(readdirSync(pathOf(snapshot))).toEqual([]);
    writeFileSync(fileOf(snapshot, 'result'), 'new');
    expect([isCommitted(snapshot), snapshot.status.parentUUID]).toEqual([false, undefined]);
  });

  it('B7 Snapshot: a child holds what its base holds, and the base notices nothing of the build', async () => {
    const base = await snapshots.ready('base');
    const work = await built('from-base', childOf('base'));
    writeFileSync(fileOf(work, 'more'), 'more');
    expect([work.status.parentUUID, work.status.ancestors]).toEqual([base.status.uuid, ['base']]);
    expect([read(work, 'result'), read(base, 'result'), existsSync(fileOf(base, 'more'))]).toEqual([
      'from-base',
      'base',
      false,
    ]);
  });

  it('B7 Snapshot: a missing base waits with SourceNotFound, one that is being built with SourceNotCommitted', async () => {
    await snapshots.create('early', 'demo', childOf('late-base'));
    const missing = await snapshots.withReason('early', 'Ready', 'SourceNotFound');
    expect(conditionOf(missing, 'Ready')?.message).toContain('late-base');
    await built('late-base');
    await snapshots.withReason('early', 'Ready', 'SourceNotCommitted');
    expect(subvolumesOf(treePath).filter((name) => name.includes(missing.metadata.uid))).toEqual([]);
    await committed('late-base');
    expect(read(await snapshots.ready('early'), 'result')).toBe('late-base');
  });
});

describe('Snapshot: what becomes of a build', () => {
  it('B8 Snapshot: a commit leaves a read-only result under its name; the writable one is gone', async () => {
    const before = await built('good', childOf('base'));
    const after = await committed('good');
    expect([after.metadata.uid, read(after, 'result')]).toEqual([before.metadata.uid, 'good']);
    expect(() => writeFileSync(fileOf(after, 'result'), 'changed')).toThrow('EROFS');
    expect(() => writeFileSync(fileOf(after, 'more'), '')).toThrow('EROFS');
    expect(existsSync(before.status.path ?? '')).toBe(false);
    expect(readdirSync(dirOf(after)).toSorted()).toEqual(['record.json', 'ro']);
  });

  it('B9 C9 Snapshot: a build that failed is deleted: nothing is recorded, and the name is made again, of nothing old', async () => {
    const first = await built('again', childOf('base'));
    await snapshots.remove('again');
    expect(existsSync(dirOf(first))).toBe(false);
    await expect(lab.kubectl(['get', 'bsnap', 'again', '-n', 'default'])).rejects.toThrow('NotFound');
    await snapshots.create('again', 'demo', childOf('base'));
    const second = await snapshots.ready('again');
    expect(read(second, 'result')).toBe('base');
    for (const field of ['uuid', 'subvolumeID', 'path'] as const)
      expect(second.status[field]).not.toBe(first.status[field]);
    expect(isCommitted(await committed('again'))).toBe(true);
  });

  it('B10 Snapshot: a build killed half-way, agent and all, is a ReadWrite one as before, never a result; it can be deleted', async () => {
    const before = await built('killed', childOf('base'));
    const writer = await startWriter(fileOf(before, 'log'));
    agent.kill('SIGKILL');
    await Promise.all([writer.kill(), agent.exited]);
    agent = await lab.startAgent('node-a');
    await snapshots.create('of-killed', 'demo', childOf('killed'));
    await snapshots.withReason('of-killed', 'Ready', 'SourceNotCommitted');
    const after = await snapshots.ready('killed');
    expect([isCommitted(after), after.spec.access, after.status.uuid]).toEqual([
      false,
      'ReadWrite',
      before.status.uuid,
    ]);
    expect(readdirSync(dirOf(after)).toSorted()).toEqual(['record.json', 'rw']);
    expect(read(after, 'log')).toContain('line 3\n');
    await snapshots.remove('of-killed');
    await snapshots.remove('killed');
    expect(existsSync(dirOf(after))).toBe(false);
  });

  it('B10 Snapshot: a build killed half-way is thrown away with its owner, as the garbage collector of Kubernetes does it', async () => {
    const job = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'job' } };
    const jobs = '/api/v1/namespaces/default/configmaps';
    const { metadata } = (await lab.transport.request({ method: 'POST', path: jobs, body: job })) as {
      metadata: { uid: string };
    };
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'job', uid: metadata.uid }];
    const spec = { volumeRef: { name: 'demo' }, ...childOf('base') };
    await snapshots.client.create({ metadata: { namespace: 'default', name: 'owned', ownerReferences }, spec });
    const owned = await snapshots.ready('owned');
    const writer = await startWriter(fileOf(owned, 'log'));
    agent.kill('SIGKILL');
    await Promise.all([writer.kill(), agent.exited]);
    await lab.transport.request({ method: 'DELETE', path: `${jobs}/job` });
    await collectGarbageOf(snapshots.client, metadata);
    const held = await snapshots.that('owned', (snapshot) => snapshot.metadata.deletionTimestamp !== undefined);
    expect([isCommitted(held), existsSync(dirOf(owned))]).toEqual([false, true]);
    agent = await lab.startAgent('node-a');
    await waitFor(async () => (await snapshots.client.get('default/owned')) === undefined, { what: 'end of owned' });
    expect(existsSync(dirOf(owned))).toBe(false);
  });
});

describe('Snapshot: a name is the id of a result', () => {
  it('B11 Snapshot: of several who make one name at once the API server takes one, and later ones are refused', async () => {
    const tries = await Promise.allSettled([1, 2, 3].map(() => snapshots.create('id', 'demo', childOf('base'))));
    const refused = tries.filter((each) => each.status === 'rejected').map(({ reason }) => reason.code);
    expect(refused).toEqual([409, 409]);
    const [made] = tries.filter((each) => each.status === 'fulfilled').map(({ value }) => value);
    writeFileSync(fileOf(await snapshots.ready('id'), 'result'), 'id');
    const result = await committed('id');
    expect(result.metadata.uid).toBe(made?.metadata.uid);
    await expect(snapshots.create('id', 'demo', empty)).rejects.toMatchObject({ code: 409 });
    const found = await lab.kubectl(['get', 'bsnap', 'id', '-n', 'default', '-o', 'jsonpath={.status.path}']);
    expect(readFileSync(path.join(found, 'result'), 'utf8')).toBe('id');
  });

  it('B12 Snapshot: a result is looked up by its name, one that is not there too; deleting what is gone succeeds', async () => {
    const kubectl = (...args: string[]) => lab.kubectl([...args, '-n', 'default']);
    await built('look-up');
    const result = await committed('look-up');
    const found = await kubectl('get', 'bsnap', 'look-up', '--ignore-not-found', '-o', 'jsonpath={.status.path}');
    expect(found).toBe(path.join(dirOf(result), 'ro'));
    expect(await kubectl('get', 'bsnap', 'never-built', '--ignore-not-found')).toBe('');
    await kubectl('delete', 'bsnap', 'look-up');
    expect(existsSync(dirOf(result))).toBe(false);
    expect(await kubectl('delete', 'bsnap', 'look-up', '--ignore-not-found')).toBe('');
    await snapshots.client.delete('default/look-up', { uid: result.metadata.uid });
  });

  it('B13 Snapshot: the log of a build is readable while it runs, and whole in the committed result', async () => {
    const work = await built('logged', childOf('base'));
    const writer = await startWriter(fileOf(work, 'log'));
    const seen = read(work, 'log');
    await waitFor(() => read(work, 'log').length > seen.length, { what: 'more of the log' });
    await writer.kill();
    const whole = read(work, 'log');
    expect(whole.startsWith(seen)).toBe(true);
    const result = await committed('logged');
    expect(read(result, 'log')).toBe(whole);
    expect(existsSync(work.status.path ?? '')).toBe(false);
  });
});

describe('examples/build-job.yaml', () => {
  it('B7 B8 B9 B13 Snapshot: the steps that stand in the example do what it says', async () => {
    const examplesPath = path.resolve(import.meta.dirname, '../../../examples');
    const text = readFileSync(path.join(examplesPath, 'build-job.yaml'), 'utf8');
    const steps = [...text.matchAll(/^# {3}(.+)$/gm)].map(([, step = '']) => step);
    expect(steps.length).toBeGreaterThan(8);
    const printed = execFileSync('sh', ['-euxc', steps.join('\n')], {
      cwd: path.dirname(examplesPath),
      env: {
        PATH: `${inject('assetsDir')}:${process.env.PATH}`,
        KUBECONFIG: lab.kubeconfigPath,
        HOME: lab.dir,
      },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 90_000,
    });
    expect(printed).toContain('uname -a > result');
    expect(printed).toContain('snapshot.btrfs-operator.io "build-42" deleted');
    expect(await snapshots.client.get('default/build-42')).toBeUndefined();
    expect(isCommitted(await snapshots.ready('build-base'))).toBe(true);
  });
});

describe('after all that', () => {
  it('D6 Snapshot: the volume holds what the objects say and nothing else', async () => {
    await Promise.all((await snapshots.client.list()).map(({ metadata }) => snapshots.ready(metadata.name)));
    expectTreeToMatch(await lab.ready('demo'), await snapshots.client.list());
    expect(sh('btrfs', 'device', 'stats', treePath)).not.toMatch(/_errs\s+[1-9]/);
  });
});
