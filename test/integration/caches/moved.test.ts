import { execFileSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Lab, startLab } from '../lab.ts';
import { areaOf, type CacheKit, cacheKit, cloneOf } from './kit.ts';
import { fillFile } from './usage.ts';

let lab: Lab;
let kit: CacheKit;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
  kit = cacheKit(lab);
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const FILES = 50;

const read = (dir: string) => readdirSync(dir).map((name) => readFileSync(path.join(dir, name)));
const balance = (mountPath: string) =>
  execFileSync('btrfs', ['balance', 'start', '--full-balance', mountPath], { stdio: 'ignore' });

/** What a job does before and after everything in the volume is moved, and what becomes of its clone. */
type Job = readonly [what: string, outcome: string, before: (dir: string) => unknown, after: (dir: string) => unknown];
const nothing = () => undefined;
const jobs: readonly Job[] = [
  ['nothing', 'Unchanged', nothing, nothing],
  ['reads before', 'Unchanged', read, nothing],
  ['reads after', 'Unchanged', nothing, read],
  ['writes before', 'Published', (dir) => writeFileSync(`${dir}/0`, 'x'), nothing],
  ['writes one byte after', 'Published', nothing, (dir) => writeFileSync(`${dir}/0`, 'x', { flag: 'a' })],
  ['changes a mode before', 'Published', (dir) => chmodSync(`${dir}/0`, 0o700), nothing],
  ['changes a name after', 'Published', nothing, (dir) => renameSync(`${dir}/0`, `${dir}/name`)],
];

describe('BuildCacheClaim: where the volume is moved about', () => {
  it('F8 BuildCacheClaim: a clone that was only read is Unchanged after a balance, a shrink and a minimize', async () => {
    await lab.createVolume('moved', { size: '1Gi' });
    const { mountPath = '' } = (await lab.ready('moved')).status;
    await kit.createCache('moved', 'moved', { publishPolicy: 'LastWriterWins', keepGenerations: 100 });
    const first = cloneOf(await kit.startJob('first', 'moved'));
    fillFile(`${first}/fill`, 30);
    // So that each clone has blocks of its own for its top directory, and shares the rest.
    for (let index = 0; index < FILES; index++) writeFileSync(`${first}/${index}`, String(index).repeat(5_000));
    expect((await kit.endJob('first')).status.outcome).toBe('Published');
    const spec = { owner: { uid: 1000, gid: 1000, mode: '0755' } };
    const claims = await Promise.all(jobs.map((_, index) => kit.startJob(`job-${index}`, 'moved', spec)));
    for (const [index, claim] of claims.entries()) jobs[index]?.[2](cloneOf(claim));
    balance(mountPath);
    await lab.change('moved', { size: '512Mi' });
    await lab.ready('moved');
    await lab.change('moved', { minimize: {} });
    await lab.ready('moved', 60_000);
    await lab.change('moved', { minimize: null });
    await lab.ready('moved');
    for (const [index, claim] of claims.entries()) jobs[index]?.[3](cloneOf(claim));
    const ended = await Promise.all(jobs.map((_, index) => kit.endJob(`job-${index}`)));
    expect(ended.map(({ status }, index) => [jobs[index]?.[0], status.outcome])).toEqual(
      jobs.map(([what, outcome]) => [what, outcome]),
    );
    await kit.cacheThat('moved', ({ status }) => status.activeClaims === 0);
    expect(areaOf(mountPath, 'staging')).toEqual([]);
  });
});
