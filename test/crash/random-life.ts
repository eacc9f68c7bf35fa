import { isAlreadyExists } from '../../src/kube/errors.ts';
import { randomOf } from '../builders/random.ts';
import type { Lab } from '../integration/lab.ts';
import { expectConvergence } from './convergence.ts';
import { CrashVolume } from './crash-volume.ts';
import type { SupervisedAgent } from './supervised-agent.ts';

export interface RandomLifeOptions {
  readonly seed: number;
  readonly kills: number;
  /** So many kills come between two moments in which everything has to be as the objects say. */
  readonly killsPerRest: number;
}

/** Longest life of an agent in milliseconds: by then it has done what there was to do. */
const LONGEST_LIFE_MS = 1_500;
const NAMES = ['one', 'two', 'three'];

/**
 * Three volumes get random changes of their spec, are deleted and made again, while the agent is killed at random times; from
 * time to time everything has to be as the objects say. What is done depends on the seed only, when it meets what does not.
 */
export async function liveAtRandom(lab: Lab, agent: SupervisedAgent, options: RandomLifeOptions): Promise<void> {
  const random = randomOf(options.seed);
  const volumes = NAMES.map((name) => new CrashVolume(lab, agent, `${agent.nodeName}-${name}`));
  const history: string[] = [];
  try {
    await restAndFill(agent, volumes);
    for (let kill = 1; kill <= options.kills; kill++) {
      for (const volume of volumes) if (random() < 0.7) history.push(await changeAtRandom(volume, random));
      const lifeMs = Math.round(random() * LONGEST_LIFE_MS);
      history.push(`kill ${kill} after ${lifeMs} ms`);
      await agent.killAfter(lifeMs);
      if (kill % options.killsPerRest === 0) await restAndFill(agent, volumes);
    }
    await restAndFill(agent, volumes);
    for (const volume of volumes) await volume.delete();
    await expectConvergence(agent.rootPath, volumes);
  } catch (cause) {
    throw new Error(`seed ${options.seed}, after:\n  ${history.slice(-25).join('\n  ')}`, { cause });
  }
}

/** All is as wished; then every volume is there, mounted and has files again. */
async function restAndFill(agent: SupervisedAgent, volumes: readonly CrashVolume[]): Promise<void> {
  await expectConvergence(agent.rootPath, volumes);
  for (const volume of volumes) {
    if (!volume.exists) await volume.create({ size: '384Mi' });
    else await volume.change({ mounted: true });
  }
  await expectConvergence(agent.rootPath, volumes);
  for (const volume of volumes) {
    if (volume.manifest === undefined) await volume.fill();
  }
}

async function changeAtRandom(volume: CrashVolume, random: () => number): Promise<string> {
  const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
  if (!volume.exists) {
    const spec = { size: pick('256Mi', '384Mi') };
    try {
      await volume.create(spec);
      return `create ${volume.name} ${JSON.stringify(spec)}`;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      return `${volume.name} is not gone yet`;
    }
  }
  if (random() < 0.1) {
    await volume.delete();
    return `delete ${volume.name}`;
  }
  const spec = pick<Record<string, unknown>>(
    { size: pick('256Mi', '320Mi', '384Mi', '512Mi') },
    { size: pick('256Mi', '320Mi', '384Mi', '512Mi'), mounted: true },
    { minimize: pick({ headroom: '64Mi' }, { headroom: '160Mi' }, null) },
    { mounted: pick(true, false) },
    { label: pick('red', 'green', null), compression: pick('lzo', 'zstd:3', 'zlib:9') },
    { owner: pick({ uid: 1000, gid: 1000, mode: '0700' }, null) },
  );
  await volume.change(spec);
  return `change ${volume.name} ${JSON.stringify(spec)}`;
}
