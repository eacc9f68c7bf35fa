import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { withoutNames } from '../../crash/shims.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { commandsSince, markOf, passEnded } from '../volumes/commands.ts';
import { conditionOf, pathOf, type SnapshotKit, snapshotKit } from './kit.ts';

const DIRECTORIES = 50;
const FILES_EACH = 100;

let lab: Lab;
let agent: OperatorProcess;
let snapshots: SnapshotKit;

beforeAll(async () => {
  lab = await startLab();
  // Nobody looks at the volumes from time to time: what is run is run for what the test does.
  agent = await lab.startAgent('node-a', { flags: ['--watch-interval-seconds=600', '--usage-interval-seconds=600'] });
  snapshots = snapshotKit(lab);
  await Promise.all(['none', 'many'].map((name) => lab.createVolume(name)));
  await lab.ready('none');
  const dataPath = dataPathOf(await lab.ready('many'));
  for (let directory = 0; directory < DIRECTORIES; directory++) {
    const directoryPath = path.join(dataPath, `directory-${directory}`);
    mkdirSync(directoryPath);
    for (let file = 0; file < FILES_EACH; file++) writeFileSync(path.join(directoryPath, `file-${file}`), 'content');
  }
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** Command lines that a Snapshot of the volume costs, from its creation over its commit to its end. */
async function commandsOfLife(volume: string, spec: Record<string, unknown>, files: number): Promise<string[][]> {
  const name = `of-${volume}`;
  const commandsOf = async (work: () => Promise<unknown>, passOf: string): Promise<string[]> => {
    const mark = markOf(agent);
    await work();
    await passEnded(agent, passOf, mark);
    // What belongs to no object is looked for beside all passes, some time after one; who comes first takes the volume's fence.
    return commandsSince(agent, mark).filter((line) => !/^(btrfs subvolume list|flock) /.test(line));
  };
  const create = async () => {
    await snapshots.create(name, volume, { access: 'ReadWrite', ...spec });
    expect(readdirSync(pathOf(await snapshots.ready(name)), { recursive: true })).toHaveLength(files);
  };
  const commit = async () => {
    await snapshots.change(name, { access: 'ReadOnly' });
    await snapshots.that(name, (one) => conditionOf(one, 'Committed')?.status === 'True');
  };
  return [
    await commandsOf(create, name),
    await commandsOf(commit, name),
    await commandsOf(() => snapshots.remove(name), name),
  ];
}

/** True of a command that costs more the more files there are; only records are copied from the outbox. */
function walks(line: string): boolean {
  if (/^(find|ls|du|tar|rsync|btrfs (filesystem (du|defragment)|send|receive)) /.test(line)) return true;
  return /^(?!btrfs ).* (-[a-z]*[ar][a-z]*|--recursive|--archive) /i.test(line) && !/^cp .*\/\.outbox-\S+ /.test(line);
}

describe('Snapshot: of many files', () => {
  it.for([
    { what: 'as it is', spec: {} },
    { what: 'with an owner of its own', spec: { owner: { uid: 1000, gid: 1000, mode: '0700' } } },
  ])(
    `D17 Snapshot: made, committed and deleted by the same commands as one of no files, none walks them; $what`,
    async ({ spec }) => {
      const none = await commandsOfLife('none', spec, 0);
      const many = await commandsOfLife('many', spec, DIRECTORIES * (1 + FILES_EACH));
      const kinds = (life: readonly (readonly string[])[]) => life.map((lines) => lines.map(withoutNames));
      expect(kinds(many)).toEqual(kinds(none));
      for (const lines of many) expect(lines).not.toEqual([]);
      expect(many.flat().filter(walks)).toEqual([]);
    },
  );
});
