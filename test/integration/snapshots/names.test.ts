import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { conditionOf, type SnapshotKit, snapshotKit } from './kit.ts';

/** Part of every name that a user gives here, and of nothing else. */
const MARK = 'xyzzy';

let lab: Lab;
let agent: OperatorProcess;
let snapshots: SnapshotKit;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  snapshots = snapshotKit(lab);
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** Every command that the agent has run, as a list of words. */
function commandsRun(): string[][] {
  const lines = agent
    .log()
    .split('\n')
    .filter((line) => line.includes('"args"'));
  return lines.map((line) => {
    const { command, args } = JSON.parse(line) as { command: string; args: string[] };
    return [command, ...args];
  });
}

/** Paths of all that is in the directory, relative to it. */
const filesBelow = (dirPath: string) => readdirSync(dirPath, { recursive: true, encoding: 'utf8' });

/**
 * Commands whose operands stand without `--`, with what makes that safe: absolute paths, which begin with a slash, and numbers.
 * What a user writes is in none of them.
 */
const withoutDashes: readonly string[] = [
  'losetup --detach',
  'losetup --set-capacity',
  'btrfs filesystem resize',
  'btrfs filesystem sync',
  'btrfs balance',
  'btrfs inspect-internal dump-tree',
  'btrfs subvolume set-default',
  'btrfstune',
];

describe('names', () => {
  it('B6 names of objects reach neither the disk nor a command, uids do; operands stand after --', async () => {
    const volumeName = `vol-${MARK}`;
    await lab.createVolume(volumeName, { label: 'label' });
    const volume = await lab.ready(volumeName);
    writeFileSync(path.join(dataPathOf(volume), 'file'), 'content');
    await snapshots.create(`base-${MARK}`, volumeName);
    const base = await snapshots.ready(`base-${MARK}`);
    const child = { source: { snapshotRef: { name: `base-${MARK}` } }, access: 'ReadWrite', owner: { uid: 7 } };
    await snapshots.create(`child-${MARK}`, volumeName, child);
    await snapshots.ready(`child-${MARK}`);
    await snapshots.change(`child-${MARK}`, { access: 'ReadOnly' });
    const committed = await snapshots.that(
      `child-${MARK}`,
      (seen) => conditionOf(seen, 'Committed')?.status === 'True',
    );
    await lab.createVolume(`copy-${MARK}`, { source: { snapshotRef: { name: `base-${MARK}` } } });
    const copy = await lab.ready(`copy-${MARK}`);

    const files = filesBelow(lab.rootPath('node-a'));
    expect(files.filter((file) => file.includes(MARK))).toEqual([]);
    const text = files.join('\n');
    for (const { metadata } of [volume, copy, base, committed]) expect(text).toContain(metadata.uid);

    await lab.remove(`copy-${MARK}`);
    for (const name of [`child-${MARK}`, `base-${MARK}`]) await snapshots.remove(name);
    await lab.change(volumeName, { size: '2Gi' });
    await lab.ready(volumeName);
    await lab.remove(volumeName);

    const commands = commandsRun();
    expect([...new Set(commands.map(([file]) => file))]).toEqual(
      expect.arrayContaining(['btrfs', 'losetup', 'mkfs.btrfs', 'mount', 'umount', 'truncate', 'mv', 'rm']),
    );
    expect(commands.filter((command) => command.join(' ').includes(MARK))).toEqual([]);
    expect(commands.filter((command) => command.join(' ').includes(base.metadata.uid)).length).toBeGreaterThan(2);
    const exposed = commands
      .filter((command) => command.some(isOperand) && !command.includes('--'))
      .map((command) => command.join(' '));
    const unknown = exposed.filter((typed) => !withoutDashes.some((known) => typed.startsWith(known)));
    expect([...new Set(unknown)]).toEqual([]);
    const beforeDashes = commands.filter((command) => {
      const at = command.indexOf('--');
      return at >= 0 && command.slice(0, at).some(isOperand);
    });
    expect(beforeDashes.map((command) => command.join(' '))).toEqual([]);
  });
});

/** An absolute path that is a word of its own, not the value of an option such as -f. */
function isOperand(word: string, index: number, command: readonly string[]): boolean {
  return word.startsWith('/') && !/^-[a-z]$/.test(command[index - 1] ?? '');
}
