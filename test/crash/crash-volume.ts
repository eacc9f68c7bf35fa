import { isTrue } from '../../src/api/conditions.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../../src/api/loopback-volume.ts';
import { dataPathOf, isSettled, type Lab } from '../integration/lab.ts';
import { expectConvergence } from './convergence.ts';
import { manifestOf, pushToEnd, writeTree } from './file-tree.ts';
import type { SupervisedAgent } from './supervised-agent.ts';

/** How long a volume may take to be as its object says, agent start and waiting for a busy device included. */
const LIMIT_MS = 120_000;

const MiB = 1024 * 1024;
/** So much data at the end keeps a volume from being shrunk before it is moved. */
const WORTH_MOVING_BYTES = 16 * MiB;

/** A volume that is put through faults, with a tree of files in it that has to outlive them. */
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

  /** Whether there should be an object. */
  get exists(): boolean {
    return this.#exists;
  }

  /** What {@link manifestOf} gave when the tree was written; undefined while there is none. */
  get manifest(): string | undefined {
    return this.#manifest;
  }

  async create(spec: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#lab.createVolume(this.name, { nodeName: this.agent.nodeName, ...spec });
    this.#exists = true;
    this.#manifest = undefined;
  }

  /** Ready, with the tree in it. */
  async createFilled(spec: Readonly<Record<string, unknown>>): Promise<void> {
    await this.create(spec);
    await this.settled();
    await this.fill(WORTH_MOVING_BYTES);
  }

  async change(spec: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#lab.change(this.name, spec);
  }

  async delete(): Promise<void> {
    await this.#lab.volumes.delete(`default/${this.name}`);
    this.#exists = false;
  }

  /** Writes the tree that has to be there, byte for byte, from now on. */
  async fill(largestBytes = MiB): Promise<void> {
    const dataPath = await this.#dataPath();
    await writeTree(dataPath, largestBytes);
    this.#manifest = await manifestOf(dataPath);
  }

  /** A shrink has something to move afterwards. */
  async pushToEnd(): Promise<void> {
    await pushToEnd(await this.#dataPath());
  }

  /** The object as soon as all of its spec is carried out; undefined as soon as it is gone if that is what is wanted. */
  async settled(): Promise<LoopbackVolume | undefined> {
    if (this.#exists) return await this.#lab.volumeThat(this.name, isCarriedOut, LIMIT_MS);
    await this.#lab.objects.gone(loopbackVolumeType, `default/${this.name}`, LIMIT_MS);
    return undefined;
  }

  async expectConvergence(): Promise<void> {
    await expectConvergence(this.agent.rootPath, [this]);
  }

  async #get(): Promise<LoopbackVolume | undefined> {
    return await this.#lab.volumes.get(`default/${this.name}`);
  }

  async #dataPath(): Promise<string> {
    const volume = await this.#get();
    if (volume === undefined) throw new Error(`no volume ${this.name}`);
    return dataPathOf(volume);
  }
}

function isCarriedOut(volume: LoopbackVolume): boolean {
  return isSettled(volume, 'True') && (!volume.spec.mounted || isTrue(volume.status.conditions, 'Resized'));
}
