import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { areaOf, asUser, type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';

let lab: Lab;
let kit: CacheKit;
let mountPath: string;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
  kit = cacheKit(lab);
  await lab.createVolume('vol');
  mountPath = (await lab.ready('vol')).status.mountPath ?? '';
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const OWNER = { uid: 1000, gid: 1000, mode: '0755' };
describe('BuildCache: generations', () => {
  it('B14 BuildCacheClaim: the first claim of a new cache gets an empty writable directory', async () => {
    await kit.createCache('first', 'vol', { owner: { uid: 1000, gid: 1000, mode: '0750' } });
    const claim = await kit.startJob('first-job', 'first');
    expect(readdirSync(cloneOf(claim))).toEqual([]);
    expect(claim.status.baseGeneration).toBe(1);
    const { uid, gid, mode } = statSync(cloneOf(claim));
    expect([uid, gid, (mode & 0o777).toString(8)]).toEqual([1000, 1000, '750']);
    writeFileSync(path.join(cloneOf(claim), 'file'), 'content');
    expect(claim.status.mount?.options).toEqual([expect.stringMatching(/^subvolid=\d+$/), 'noatime']);
  });

  it('B15 BuildCacheClaim: concurrent claims get isolated clones of the same generation', async () => {
    await kit.createCache('many', 'vol');
    await kit.startJob('many-seed', 'many').then((claim) => writeFileSync(path.join(cloneOf(claim), 'base'), 'base'));
    await kit.endJob('many-seed');
    const names = Array.from({ length: 8 }, (_, index) => `many-${index}`);
    const claims = await Promise.all(names.map((name) => kit.startJob(name, 'many')));
    for (const claim of claims) writeFileSync(path.join(cloneOf(claim), claim.metadata.name), claim.metadata.name);
    expect(claims.map(({ status }) => status.baseGeneration)).toEqual(names.map(() => 2));
    for (const claim of claims) expect(readdirSync(cloneOf(claim)).toSorted()).toEqual(['base', claim.metadata.name]);
    expect(new Set(claims.map(cloneOf)).size).toBe(8);
  });

  it('B16 BuildCacheClaim: the top directory of the clone belongs to the owner of the claim, whoever made the cache', async () => {
    await kit.createCache('owned', 'vol', { owner: { uid: 1, gid: 2 } });
    const owners = [undefined, { uid: 3, gid: 4, mode: '0700' }];
    const claims = await Promise.all(
      owners.map((owner, index) => kit.startJob(`owned-${index}`, 'owned', owner === undefined ? {} : { owner })),
    );
    const found = claims.map((claim) => statSync(cloneOf(claim))).map(({ uid, gid, mode }) => [uid, gid, mode & 0o777]);
    expect(found).toEqual([
      [1, 2, 0o755],
      [3, 4, 0o700],
    ]);
  });

  it('B17 BuildCacheClaim: of two that started alike the first is published, the second superseded; no clone is left', async () => {
    await kit.createCache('race', 'vol');
    const [one, two] = await Promise.all(['race-a', 'race-b'].map((name) => kit.startJob(name, 'race')));
    if (one === undefined || two === undefined) throw new Error('no claims');
    for (const claim of [one, two]) writeFileSync(path.join(cloneOf(claim), 'who'), claim.metadata.name);
    const published = await kit.endJob('race-a');
    expect(published.status).toMatchObject({ outcome: 'Published', reason: 'Published', generation: 2 });
    const superseded = await kit.endJob('race-b');
    expect(superseded.status).toMatchObject({ outcome: 'Superseded', reason: 'NewerGeneration', generation: 2 });
    expect(conditionOf(superseded, 'Released')?.message).toContain('race-a');
    await waitFor(() => !existsSync(cloneOf(one)) && !existsSync(cloneOf(two)), { what: 'end of the clones' });
    await lab.event(two, 'Superseded');
    const next = await kit.startJob('race-c', 'race');
    expect(readFileSync(path.join(cloneOf(next), 'who'), 'utf8')).toBe('race-a');
    const cache = await kit.cacheThat(
      'race',
      ({ status }) => status.superseded === 1 && status.published === 1 && status.activeClaims === 1,
    );
    expect(cache.status.currentGeneration).toBe(2);
    expect(cache.status.generations?.map(({ generation, from }) => [generation, from])).toEqual([
      [1, 'Empty'],
      [2, 'race-a'],
    ]);
  });
});

describe('BuildCacheClaim: what has changed', () => {
  type Work = readonly [what: string, outcome: string, work: (dir: string, claim: BuildCacheClaim) => void];
  const bound = (dir: string, options: string, work: (at: string) => void) => {
    const at = path.join(lab.dir, 'bound');
    mkdirSync(at, { recursive: true });
    sh('mount', '--bind', dir, at);
    try {
      if (options !== '') sh('mount', '-o', `remount,bind,${options}`, at);
      work(at);
    } finally {
      sh('umount', at);
    }
  };
  const mounted = ({ status }: BuildCacheClaim, work: (at: string) => void) => {
    const { device = '', options = [] } = status.mount ?? {};
    const at = path.join(lab.dir, 'mounted');
    mkdirSync(at);
    sh('mount', '-t', 'btrfs', '-o', options.join(), device, at);
    try {
      work(at);
    } finally {
      sh('umount', at);
    }
  };
  const works: readonly Work[] = [
    ['nothing', 'Unchanged', () => undefined],
    ['list and read', 'Unchanged', (dir) => readdirSync(dir).map((each) => readFileSync(path.join(dir, each)))],
    [
      'read everything',
      'Unchanged',
      (dir) => sh('sh', '-c', 'cd "$1" && find . -type f -exec cat {} +; du -s .', 'sh', dir),
    ],
    ['read as another user', 'Unchanged', (dir) => asUser('cat file; ls -la', dir)],
    ['map a file, as whoever runs it', 'Unchanged', (dir) => sh(`${dir}/true`)],
    ['read through a bind mount', 'Unchanged', (dir) => bound(dir, '', (at) => sh('cat', `${at}/file`))],
    ['read through a read-only one', 'Unchanged', (dir) => bound(dir, 'ro', (at) => sh('cat', `${at}/file`))],
    [
      'read where it is mounted as its status says',
      'Unchanged',
      (_, claim) => mounted(claim, (at) => sh('cat', `${at}/file`)),
    ],
    ['open for writing, and close', 'Unchanged', (dir) => sh('sh', '-c', ': >> "$1/file"', 'sh', dir)],
    ['write one byte', 'Published', (dir) => sh('sh', '-c', 'printf x >> "$1/file"', 'sh', dir)],
    ['a mode only', 'Published', (dir) => chmodSync(`${dir}/file`, 0o700)],
    ['a mode of the top directory only', 'Published', (dir) => chmodSync(dir, 0o777)],
    ['an empty file', 'Published', (dir) => asUser('touch new', dir)],
    ['a name only', 'Published', (dir) => sh('mv', `${dir}/file`, `${dir}/name`)],
    ['an attribute only', 'Published', (dir) => sh('setfattr', '-n', 'user.some', '-v', 'thing', `${dir}/file`)],
    ['removed', 'Published', (dir) => sh('rm', `${dir}/file`)],
  ];

  it('B20 BuildCacheClaim: reading publishes nothing, in any way; the smallest change does', async () => {
    await kit.createCache('changes', 'vol', { owner: OWNER, publishPolicy: 'LastWriterWins', keepGenerations: 100 });
    const first = cloneOf(await kit.startJob('changes-first', 'changes'));
    writeFileSync(`${first}/file`, 'first');
    copyFileSync('/bin/true', `${first}/true`);
    expect((await kit.endJob('changes-first')).status.outcome).toBe('Published');
    const claims = await Promise.all(
      works.map((_, index) => kit.startJob(`change-${index}`, 'changes', { owner: { ...OWNER, gid: 7 } })),
    );
    const work = (index: number, claim: BuildCacheClaim) => works[index]?.[2](cloneOf(claim), claim);
    for (const [index, claim] of claims.entries()) work(index, claim);
    const ended = await Promise.all(works.map((_, index) => kit.endJob(`change-${index}`)));
    expect(ended.map(({ status }, index) => [works[index]?.[0], status.outcome])).toEqual(
      works.map(([what, outcome]) => [what, outcome]),
    );
  });
});

describe('BuildCache: areas', () => {
  it('B1 BuildCache: areas for generations, claims, staging and records are made', () => {
    for (const area of ['caches', 'claims', 'staging'] as const) expect(areaOf(mountPath, area)).toBeInstanceOf(Array);
    expect(areaOf(mountPath, 'caches').filter((entry) => entry.endsWith('record.json'))).toHaveLength(5);
  });
});
