import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { BuildCache } from '../../src/api/build-cache.ts';
import type { BuildCacheClaim, ReleaseOutcome } from '../../src/api/build-cache-claim.ts';
import { waitFor } from '../cluster/wait-for.ts';
import { type CacheKit, cacheKit, cloneOf, conditionOf } from '../integration/caches/kit.ts';
import type { Lab } from '../integration/lab.ts';
import { areasOf } from '../integration/snapshots/on-disk.ts';
import type { Subject } from './boundaries.ts';
import { CrashVolume } from './crash-volume.ts';
import { expectHostToMatch } from './host-state.ts';
import type { SupervisedAgent } from './supervised-agent.ts';

/** How long caches and claims may take to be as their objects say, agent start and pauses between tries included. */
const LIMIT_MS = 120_000;
export const KEPT = 2;
/** A job writes its name into it. */
const TOKEN = 'token';

interface ExpectedClaim {
  readonly cache: string;
  /** What its clone holds; nothing: ''. */
  token: string;
  outcome: ReleaseOutcome | undefined;
}

/** The caches of one volume and their claims, which are put through faults. */
export class CrashCaches implements Subject {
  readonly agent: SupervisedAgent;
  readonly #kit: CacheKit;
  readonly #volume: CrashVolume;
  /** What the current generation of each cache holds. */
  readonly #caches = new Map<string, string>();
  readonly #claims = new Map<string, ExpectedClaim>();
  #resets = 0;
  #jobs = 0;

  constructor(lab: Lab, agent: SupervisedAgent) {
    this.agent = agent;
    this.#kit = cacheKit(lab);
    this.#volume = new CrashVolume(lab, agent, `${agent.nodeName}-caches`);
  }

  async start(): Promise<void> {
    await this.#volume.create({ size: '512Mi' });
    await this.settled();
  }

  async createCache(name: string, spec: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.#kit.createCache(this.#nameOf(name), this.#volume.name, {
      keepGenerations: KEPT,
      minFreePercent: 0,
      ...spec,
    });
    this.#caches.set(name, '');
  }

  async deleteCache(name: string): Promise<void> {
    await this.#kit.caches.delete(`default/${this.#nameOf(name)}`);
    this.#caches.delete(name);
  }

  /** Starts it empty. */
  async reset(name: string): Promise<void> {
    await this.#kit.changeCache(this.#nameOf(name), { resetToken: `reset ${++this.#resets}` });
    this.#caches.set(name, '');
  }

  async claim(name: string, cache: string, spec: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.#kit.createClaim(this.#nameOf(name), this.#nameOf(cache), { ttlSecondsAfterReleased: 3600, ...spec });
    this.#claims.set(name, { cache, token: this.#caches.get(cache) ?? '', outcome: undefined });
  }

  /** A job changes something in its clone. */
  async work(name: string): Promise<void> {
    const expected = this.#expected(name);
    expected.token = `job ${++this.#jobs}`;
    writeFileSync(path.join(cloneOf(await this.#kit.claimReady(this.#nameOf(name))), TOKEN), expected.token);
  }

  async release(name: string, outcome: ReleaseOutcome): Promise<void> {
    const expected = this.#expected(name);
    await this.#kit.release(this.#nameOf(name), outcome === 'Discarded' ? 'Discard' : 'Publish');
    expected.outcome = outcome;
    if (outcome === 'Published') this.#caches.set(expected.cache, expected.token);
  }

  async deleteClaim(name: string): Promise<void> {
    await this.#kit.claims.delete(`default/${this.#nameOf(name)}`);
    this.#claims.delete(name);
  }

  async settled(): Promise<readonly [readonly BuildCache[], readonly BuildCacheClaim[]]> {
    const { caches, claims } = this.#kit;
    await this.#volume.settled();
    const own = { what: 'end of what was deleted', timeoutMs: LIMIT_MS, everyMs: 100 };
    await waitFor(async () => {
      const names = (await claims.list({ namespace: 'default' })).map(({ metadata }) => metadata.name);
      return names.filter((name) => this.#isOwn(name)).length === this.#claims.size;
    }, own);
    await waitFor(async () => {
      const names = (await caches.list({ namespace: 'default' })).map(({ metadata }) => metadata.name);
      return names.filter((name) => this.#isOwn(name)).length === this.#caches.size;
    }, own);
    const settledClaims = await Promise.all(
      [...this.#claims].map(([name, { outcome }]) =>
        this.#kit.claimThat(
          this.#nameOf(name),
          (claim) => isReady(claim) && claim.status.outcome === outcome,
          LIMIT_MS,
        ),
      ),
    );
    const settledCaches = await Promise.all(
      [...this.#caches.keys()].map((name) =>
        this.#kit.cacheThat(this.#nameOf(name), (cache) => isReady(cache) && this.#isTold(cache), LIMIT_MS),
      ),
    );
    return [settledCaches, settledClaims];
  }

  async expectConvergence(): Promise<void> {
    const [caches, claims] = await this.settled();
    const volume = await this.#volume.settled();
    if (volume === undefined) throw new Error('there is no volume');
    expectHostToMatch(this.agent.rootPath, [volume]);
    const treePath = volume.status.mountPath ?? '';
    for (const [name, token] of this.#caches) {
      const cache = caches.find(({ metadata }) => metadata.name === this.#nameOf(name));
      const { currentGeneration } = cache?.status ?? {};
      const generationPath = path.join(treePath, 'caches', cache?.metadata.uid ?? '', String(currentGeneration));
      expect(tokenIn(generationPath), `content of ${name}, generation ${currentGeneration}`).toBe(token);
    }
    const working = claims.filter(({ status }) => status.outcome === undefined);
    for (const claim of working) {
      const [, expected] = [...this.#claims].find(([name]) => this.#nameOf(name) === claim.metadata.name) ?? [];
      expect(tokenIn(cloneOf(claim)), `content of ${claim.metadata.name}`).toBe(expected?.token);
    }
    // The clone of a judged claim goes after its outcome is told; what has become of it stays in its record.
    await waitFor(() => areasOf(treePath).join('\n') === areasFor(caches, claims).join('\n'), {
      what: `more than\n${areasFor(caches, claims).join('\n')}\nin\n${areasOf(treePath).join('\n')}\nleft over`,
      timeoutMs: LIMIT_MS,
    });
  }

  /** Its status is about what is there now, old generations gone, and counts the claims. */
  #isTold({ metadata, status }: BuildCache): boolean {
    const working = [...this.#claims.values()].filter(
      ({ cache, outcome }) => this.#nameOf(cache) === metadata.name && outcome === undefined,
    );
    const bases = working.length;
    const numbers = status.generations?.map(({ generation }) => generation) ?? [];
    return status.activeClaims === working.length && numbers.length <= KEPT + bases;
  }

  #expected(name: string): ExpectedClaim {
    const expected = this.#claims.get(name);
    if (expected === undefined) throw new Error(`there is no claim ${name}`);
    return expected;
  }

  #isOwn(name: string): boolean {
    return name.startsWith(`${this.agent.nodeName}-`);
  }

  #nameOf(name: string): string {
    return `${this.agent.nodeName}-${name}`;
  }
}

function isReady(object: BuildCache | BuildCacheClaim): boolean {
  return (
    object.status.observedGeneration === object.metadata.generation && conditionOf(object, 'Ready')?.status === 'True'
  );
}

/** What the last job wrote that worked on it. */
export function tokenIn(dir: string): string {
  const tokenPath = path.join(dir, TOKEN);
  if (existsSync(tokenPath)) return readFileSync(tokenPath, 'utf8');
  return readdirSync(dir).length === 0 ? '' : 'something else';
}

/** Everything in the areas of the volume's tree, as `areasOf` lists it. */
function areasFor(caches: readonly BuildCache[], claims: readonly BuildCacheClaim[]): string[] {
  const ofCaches = caches.flatMap(({ metadata, status }) => {
    const dir = `caches/${metadata.uid}`;
    return [dir, `${dir}/record.json`, ...(status.generations ?? []).map(({ generation }) => `${dir}/${generation}`)];
  });
  const ofClaims = claims.flatMap(({ metadata, spec, status }) => {
    const dir = `claims/${metadata.uid}`;
    const clone = status.outcome === undefined ? [`${dir}/${spec.access === 'ReadOnly' ? 'ro' : 'rw'}`] : [];
    return [dir, `${dir}/record.json`, ...clone];
  });
  return [...ofCaches, ...ofClaims].toSorted();
}
