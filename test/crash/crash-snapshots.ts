import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { expect } from 'vitest';
import { findCondition, isTrue } from '../../src/api/conditions.ts';
import type { Snapshot } from '../../src/api/snapshot.ts';
import { waitFor } from '../cluster/wait-for.ts';
import type { Lab } from '../integration/lab.ts';
import { pathOf, type SnapshotKit, snapshotKit } from '../integration/snapshots/kit.ts';
import { expectTreeToMatch } from '../integration/snapshots/on-disk.ts';
import type { Subject } from './boundaries.ts';
import { CrashVolume } from './crash-volume.ts';
import { manifestOf } from './file-tree.ts';
import { expectHostToMatch } from './host-state.ts';
import type { SupervisedAgent } from './supervised-agent.ts';
import { transfersOf } from './transfers.ts';

/** How long Snapshots may take to be as their objects say, agent start and pauses between tries included. */
const LIMIT_MS = 120_000;

type Place = 'here' | 'there';

interface Expected {
  readonly place: Place;
  /** What {@link manifestOf} gives of its content. */
  manifest: string;
}

/** Two volumes of one node with files in the first, and the Snapshots in them, which are put through faults. */
export class CrashSnapshots implements Subject {
  readonly agent: SupervisedAgent;
  readonly #kit: SnapshotKit;
  readonly #volumes: Readonly<Record<Place, CrashVolume>>;
  readonly #expected = new Map<string, Expected>();
  readonly #gone = new Set<string>();

  constructor(lab: Lab, agent: SupervisedAgent) {
    this.agent = agent;
    this.#kit = snapshotKit(lab);
    const volume = (place: Place) => new CrashVolume(lab, agent, `${agent.nodeName}-${place}`);
    this.#volumes = { here: volume('here'), there: volume('there') };
  }

  /** Both volumes are Ready, with files in the first and a committed Snapshot `base` of them. */
  async start(): Promise<void> {
    for (const volume of Object.values(this.#volumes)) await volume.create({ size: '512Mi' });
    await this.settled();
    await this.#volumes.here.fill();
    await this.create('base', 'here', 'data', {});
    await this.expectConvergence();
  }

  /** Makes one that has what `from` has (a Snapshot, or the data of the first volume), or nothing. */
  async create(
    name: string,
    place: Place,
    from: string | undefined,
    spec: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const source =
      from === undefined
        ? { empty: {} }
        : from === 'data'
          ? { volume: {} }
          : { snapshotRef: { name: this.#nameOf(from) } };
    const manifest =
      from === undefined ? '' : from === 'data' ? this.#volumes.here.manifest : this.#expected.get(from)?.manifest;
    if (manifest === undefined) throw new Error(`nothing is known of ${from}`);
    await this.#kit.create(this.#nameOf(name), this.#volumes[place].name, { source, ...spec });
    this.#gone.delete(name);
    this.#expected.set(name, { place, manifest });
  }

  async commit(name: string): Promise<void> {
    await this.#kit.change(this.#nameOf(name), { access: 'ReadOnly' });
  }

  /** The streams that are wanted of it, by their names; incremental on `base` where the name says so. */
  async export(name: string, ...streams: readonly ('full' | 'incremental')[]): Promise<void> {
    const exports = streams.map((stream) => ({
      name: stream,
      ...(stream === 'full' ? {} : { parentRef: { name: this.#nameOf('base') } }),
    }));
    await this.#kit.change(this.#nameOf(name), { exports });
  }

  async delete(name: string): Promise<void> {
    await this.#kit.client.delete(`default/${this.#nameOf(name)}`);
    this.#expected.delete(name);
    this.#gone.add(name);
  }

  /** Does what a tenant does in a writable one, by a shell, and takes what is there then for its content. */
  async work(name: string, script: string): Promise<void> {
    const snapshot = await this.#kit.ready(this.#nameOf(name));
    execFileSync('sh', ['-ec', script], { cwd: pathOf(snapshot), stdio: ['ignore', 'ignore', 'inherit'] });
    const expected = this.#expected.get(name);
    if (expected !== undefined) expected.manifest = await manifestOf(pathOf(snapshot));
  }

  async settled(): Promise<readonly Snapshot[]> {
    await Promise.all(Object.values(this.#volumes).map((volume) => volume.settled()));
    for (const name of this.#gone) await this.#kit.gone(this.#nameOf(name), LIMIT_MS);
    return await Promise.all(
      [...this.#expected.keys()].map((name) => this.#kit.that(this.#nameOf(name), isCarriedOut, LIMIT_MS)),
    );
  }

  async expectConvergence(): Promise<void> {
    const snapshots = await this.settled();
    const volumes = await Promise.all(
      (['here', 'there'] as const).map(async (place) => ({ place, object: await this.#volumes[place].settled() })),
    );
    const objects = volumes.flatMap(({ object }) => object ?? []);
    expectHostToMatch(this.agent.rootPath, objects);
    for (const { object } of volumes) {
      if (object === undefined) continue;
      const own = snapshots.filter(({ spec }) => spec.volumeRef.name === object.metadata.name);
      expectTreeToMatch(object, own);
    }
    for (const [name, { manifest }] of this.#expected) {
      const snapshot = snapshots.find(({ metadata }) => metadata.name === this.#nameOf(name));
      if (snapshot !== undefined) expect(await manifestOf(pathOf(snapshot)), `content of ${name}`).toBe(manifest);
    }
    await waitFor(() => transfersOf(this.agent.rootPath).length === 0, { what: 'end of all sends and receives' });
    expectExportsToMatch(this.agent.rootPath, snapshots);
  }

  #nameOf(name: string): string {
    return `${this.agent.nodeName}-${name}`;
  }
}

/** The files below exports/ are those that the statuses tell of, byte for byte. */
function expectExportsToMatch(rootPath: string, snapshots: readonly Snapshot[]): void {
  const told = snapshots.flatMap(({ status }) => status.exports ?? []);
  const lines = (file: string, ...args: readonly string[]) =>
    execFileSync(file, args, { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line !== '')
      .toSorted();
  const exportsPath = path.join(rootPath, 'exports');
  expect(lines('find', exportsPath, '-type', 'f')).toEqual(told.map(({ file }) => file).toSorted());
  for (const { file, sha256 } of told) expect(lines('sha256sum', '--', file)).toEqual([`${sha256}  ${file}`]);
}

function isCarriedOut({ metadata, spec, status }: Snapshot): boolean {
  return (
    status.observedGeneration === metadata.generation &&
    isTrue(status.conditions, 'Ready') &&
    (status.exports ?? []).length === (spec.exports ?? []).length &&
    findCondition(status.conditions, 'Reconciling') === undefined
  );
}
