import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { BuildCacheClaim } from '../../src/api/build-cache-claim.ts';
import { randomOf } from '../builders/random.ts';
import { waitFor } from '../cluster/wait-for.ts';
import { type CacheKit, cacheKit, cloneOf } from '../integration/caches/kit.ts';
import type { Lab } from '../integration/lab.ts';
import { areasOf } from '../integration/snapshots/on-disk.ts';
import type { SupervisedAgent } from './supervised-agent.ts';

export interface CacheLifeOptions {
  readonly seed: number;
  readonly jobs: number;
  readonly atOnce: number;
}

/** How one job went. */
interface Story {
  readonly name: string;
  /** The job whose output it found in its clone; '' for none. */
  readonly found: string;
  readonly base: number;
  readonly end: 'Publish' | 'Discard' | 'delete';
  readonly changed: boolean;
  readonly status: BuildCacheClaim['status'] | undefined;
}

const LIMIT_MS = 60_000;
const MAX_FILES = 40;
/** The agent lives for so long at most, in milliseconds. */
const LONGEST_LIFE_MS = 4_000;

/**
 * Jobs work on one cache, some at once, each as the seed says: change something or not, then release, discard, or just end, while
 * the agent is killed every few seconds. Afterwards each found exactly one job's output, history is linear (whoever was
 * published had started from the generation before), and nothing is left over.
 */
export async function liveWithCache(lab: Lab, agent: SupervisedAgent, options: CacheLifeOptions): Promise<void> {
  const kit = cacheKit(lab);
  const random = randomOf(options.seed);
  const volumeName = `${agent.nodeName}-vol`;
  const cacheName = `${agent.nodeName}-cache`;
  await lab.createVolume(volumeName, { nodeName: agent.nodeName, size: '2Gi' });
  await lab.ready(volumeName, LIMIT_MS);
  await kit.createCache(cacheName, volumeName, { keepGenerations: 2 });
  await kit.cacheReady(cacheName, LIMIT_MS);
  const numbers = [...Array(options.jobs).keys()];
  const stories: Story[] = [];
  const over = new AbortController();
  const killing = killUntil(agent, over.signal, random);
  try {
    const work = async () => {
      for (let number = numbers.shift(); number !== undefined; number = numbers.shift()) {
        // What a job does depends on its number only, whenever it runs.
        const ofJob = randomOf(options.seed + number + 1);
        stories.push(await runJob(kit, cacheName, `${agent.nodeName}-job-${number}`, ofJob));
      }
    };
    await Promise.all(Array.from({ length: options.atOnce }, work));
  } catch (cause) {
    throw new Error(`seed ${options.seed}, after:\n${stories.map((story) => JSON.stringify(story)).join('\n')}`, {
      cause,
    });
  } finally {
    over.abort();
    await killing;
  }
  expectLinearHistory(stories);
  await expectNothingLeft(lab, kit, { volumeName, cacheName, stories });
}

async function killUntil(agent: SupervisedAgent, signal: AbortSignal, random: () => number): Promise<void> {
  while (!signal.aborted) await agent.killAfter(1_000 + random() * (LONGEST_LIFE_MS - 1_000));
}

async function runJob(kit: CacheKit, cache: string, name: string, random: () => number): Promise<Story> {
  const [files, pauseMs, chance, isIdle] = [
    1 + Math.floor(random() * MAX_FILES),
    random() * 1_500,
    random(),
    random() < 0.15,
  ];
  await kit.createClaim(name, cache, { ttlSecondsAfterReleased: 30 });
  const claim = await kit.claimReady(name, LIMIT_MS);
  const clone = cloneOf(claim);
  const found = jobIn(clone);
  if (!isIdle) writeOutput(clone, name, files);
  await sleep(pauseMs);
  if (!isIdle) expect(jobIn(clone), `clone of ${name}, which nobody else works in`).toBe(name);
  const end = chance < 0.75 ? 'Publish' : chance < 0.9 ? 'Discard' : 'delete';
  const story = { name, found, base: claim.status.baseGeneration ?? 0, end, changed: !isIdle } as const;
  if (end === 'delete') {
    await kit.claims.delete(`default/${name}`);
    return { ...story, status: undefined };
  }
  await kit.release(name, end);
  const { status } = await kit.claimThat(name, ({ status }) => status.outcome !== undefined, LIMIT_MS);
  return { ...story, status };
}

/** The output of a job is all that there is. */
function writeOutput(dir: string, job: string, files: number): void {
  for (const name of readdirSync(dir)) rmSync(path.join(dir, name), { recursive: true });
  mkdirSync(path.join(dir, 'deep'));
  for (let index = 0; index < files; index++) writeFileSync(path.join(dir, index % 2 ? 'deep' : '', `${index}`), job);
  writeFileSync(path.join(dir, 'files'), `${files}`);
}

/** The job whose whole output is in the directory; '' if there is nothing. Throws if it is anything else. */
function jobIn(dir: string): string {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  if (entries.length === 0) return '';
  const outputs = entries.filter(({ name }) => name !== 'files');
  const jobs = new Set(outputs.map(({ parentPath, name }) => readFileSync(path.join(parentPath, name), 'utf8')));
  expect([...jobs], `jobs in ${dir}`).toHaveLength(1);
  expect(outputs, `files in ${dir}`).toHaveLength(Number(readFileSync(path.join(dir, 'files'), 'utf8')));
  return [...jobs][0] ?? '';
}

function expectLinearHistory(stories: readonly Story[]): void {
  const published = stories
    .filter(({ status }) => status?.outcome === 'Published')
    .toSorted((a, b) => (a.status?.generation ?? 0) - (b.status?.generation ?? 0));
  const makers = new Map([[1, ''], ...published.map(({ name, status }) => [status?.generation ?? 0, name] as const)]);
  expect(makers.size, 'no generation is published twice').toBe(published.length + 1);
  let newest = 1;
  for (const { name, base, status } of published) {
    expect(base, `base of ${name}, published as ${status?.generation}`).toBe(newest);
    newest = status?.generation ?? 0;
  }
  for (const story of stories) {
    expect(story.found, `what ${story.name} found in generation ${story.base}`).toBe(makers.get(story.base));
    expect(outcomesFor(story), `${JSON.stringify(story)}`).toContain(story.status?.outcome);
    if (story.status?.outcome === 'Superseded') expect(story.status.generation).toBeGreaterThan(story.base);
  }
}

/** What may become of a job that ended so. */
function outcomesFor({ end, changed }: Story): readonly (string | undefined)[] {
  if (end === 'delete') return [undefined];
  if (end === 'Discard') return ['Discarded'];
  return changed ? ['Published', 'Superseded'] : ['Unchanged'];
}

async function expectNothingLeft(
  lab: Lab,
  kit: CacheKit,
  {
    volumeName,
    cacheName,
    stories,
  }: { readonly volumeName: string; readonly cacheName: string; readonly stories: readonly Story[] },
): Promise<void> {
  const last = Math.max(
    1,
    ...stories.map(({ status }) => (status?.outcome === 'Published' ? (status.generation ?? 0) : 0)),
  );
  const winner = stories.find(({ status }) => status?.outcome === 'Published' && status.generation === last);
  const { mountPath = '' } = (await lab.ready(volumeName, LIMIT_MS)).status;
  const cache = await kit.cacheThat(
    cacheName,
    ({ status }) => status.currentGeneration === last && status.activeClaims === 0,
    LIMIT_MS,
  );
  const dir = `caches/${cache.metadata.uid}`;
  expect(jobIn(path.join(mountPath, dir, `${last}`))).toBe(winner?.name ?? '');
  const names = new Set(stories.map(({ name }) => name));
  const own = async () =>
    (await kit.claims.list({ namespace: 'default' })).filter(({ metadata }) => names.has(metadata.name));
  // Some have outlived their time already.
  for (const { metadata } of await own()) await kit.claims.delete(`default/${metadata.name}`);
  await waitFor(async () => (await own()).length === 0, { what: 'end of all claims', timeoutMs: LIMIT_MS });
  await waitFor(() => areasOf(mountPath).filter((entry) => !entry.startsWith(dir)).length === 0, {
    what: 'end of what is left over',
    timeoutMs: LIMIT_MS,
  });
  const kept = areasOf(mountPath).filter((entry) => /\/\d+$/.test(entry));
  expect(kept.length).toBeLessThanOrEqual(2);
}
