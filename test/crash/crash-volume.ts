import { execFileSync } from 'node:child_process';
import { expect } from 'vitest';
import { isTrue } from '../../src/api/conditions.ts';
import type { LoopbackVolume } from '../../src/api/loopback-volume.ts';
import { parseQuantity } from '../../src/api/quantity.ts';
import { dataPathOf, isSettled, type Lab } from '../integration/lab.ts';
import { manifestOf, pushToEnd, writeTree } from './file-tree.ts';
import { expectHostToMatch } from './host-state.ts';
import type { SupervisedAgent } from './supervised-agent.ts';

/** How long a volume may take to be as its object says, agent start and waiting for a busy device included. */
const LIMIT_MS = 40_000;

/** The only volume of a node, with a tree of files in it, that is put through faults. */
export class CrashVolume {
  readonly name: string;
  readonly agent: SupervisedAgent;
  readonly #lab: Lab;
  #exists = false;
  #manifest: string | undefined;

  constructor(lab: Lab, agent: SupervisedAgent, name: string) {
    this.#lab = lab;
    this.agent = agent;
    this.name = name;
  }

  async create(spec: Record<string, unknown>): Promise<void> {
    this.#exists = true;
    this.#manifest = undefined;
    await this.#lab.createVolume(this.name, { nodeName: this.agent.nodeName, ...spec });
  }

  async change(spec: Record<string, unknown>): Promise<void> {
    await this.#lab.change(this.name, spec);
  }

  async delete(): Promise<void> {
    this.#exists = false;
    await this.#lab.volumes.delete(`default/${this.name}`);
  }

  async get(): Promise<LoopbackVolume> {
    const volume = await this.#lab.volumes.get(`default/${this.name}`);
    if (volume === undefined) throw new Error(`no volume ${this.name}`);
    return volume;
  }

  /** Writes the tree that has to be there, byte for byte, from now on. */
  async fill(): Promise<void> {
    const dataPath = dataPathOf(await this.get());
    writeTree(dataPath);
    this.#manifest = manifestOf(dataPath);
  }

  /** A shrink has something to move afterwards. */
  async pushToEnd(): Promise<void> {
    pushToEnd(dataPathOf(await this.get()));
  }

  /** Waits until the object is as wished (or gone), then proves status, host and files; nothing gets a second chance. */
  async converged(): Promise<void> {
    if (!this.#exists) {
      await this.#gone();
      expectHostToMatch(this.agent.rootPath, []);
      return;
    }
    const isDone = (volume: LoopbackVolume) =>
      isSettled(volume, 'True') && (!volume.spec.mounted || isTrue(volume.status.conditions, 'Resized'));
    const volume = await this.#lab.volumeThat(this.name, isDone, LIMIT_MS);
    expectHostToMatch(this.agent.rootPath, [volume]);
    expectStatusToMatch(volume);
    if (!volume.spec.mounted) return;
    expectSettingsToMatch(volume);
    if (this.#manifest !== undefined) expect(manifestOf(dataPathOf(volume))).toBe(this.#manifest);
  }

  async #gone(): Promise<void> {
    const deadline = performance.now() + LIMIT_MS;
    while ((await this.#lab.volumes.get(`default/${this.name}`)) !== undefined) {
      if (performance.now() > deadline)
        throw new Error(`volume ${this.name} does not go: ${JSON.stringify(await this.get())}`);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
}

function expectStatusToMatch({ spec, status, metadata }: LoopbackVolume): void {
  expect(status.loopDevice === undefined).toBe(!spec.mounted);
  expect(status.mountPath === undefined).toBe(!spec.mounted);
  if (spec.minimize === undefined) {
    expect(status.sizeBytes).toBe(parseQuantity(spec.size));
    return;
  }
  expect(status.minimized).toEqual({ observedGeneration: expect.any(Number), sizeBytes: status.sizeBytes });
  expect(status.sizeBytes).toBeLessThanOrEqual(parseQuantity(spec.size));
  expect(status.minimized?.observedGeneration).toBeLessThanOrEqual(metadata.generation ?? 0);
}

function expectSettingsToMatch(volume: LoopbackVolume): void {
  const { spec, status } = volume;
  const dataPath = dataPathOf(volume);
  const run = (file: string, ...args: string[]) => execFileSync(file, args, { encoding: 'utf8' }).trimEnd();
  expect(run('btrfs', 'filesystem', 'label', status.mountPath ?? '')).toBe(spec.label ?? '');
  expect(run('stat', '--format=%u:%g:%a', dataPath)).toBe(
    `${spec.owner.uid}:${spec.owner.gid}:${spec.owner.mode.replace(/^0+/, '')}`,
  );
  expect(status.compression).toBe(spec.compression);
}
