import { describe, expect, it } from 'vitest';
import type { Run } from '../../../src/host/command.ts';
import { copyInto, readText, removePaths, renameTo, syncFiles } from '../../../src/host/files.ts';
import { snapshotSubvolume } from '../../../src/host/subvolume.ts';
import { failedCommand, scriptedRun } from '../../fakes/scripted-run.ts';

const failing =
  (stderrTail: string): Run =>
  (command) =>
    Promise.reject(failedCommand(command, { stderrTail }));

describe('snapshotSubvolume', () => {
  it.each([
    ['ReadOnly', 'btrfs subvolume snapshot -r -- /s/. /d'],
    ['ReadWrite', 'btrfs subvolume snapshot -- /s/. /d'],
  ] as const)('B5 snapshotSubvolume: gives a source whose last part is no name: %s', async (access, typed) => {
    const { run, commands } = scriptedRun([[/^btrfs/, '']]);
    await snapshotSubvolume(run, '/s', '/d', access);
    expect(commands).toEqual([typed]);
  });

  it('B5 snapshotSubvolume: says that the destination exists', async () => {
    const run = failing("ERROR: invalid snapshot name '.'");
    await expect(snapshotSubvolume(run, '/s', '/d', 'ReadOnly')).rejects.toThrow('/s/. /d: exit code 1: /d exists');
  });

  it('snapshotSubvolume: says what else btrfs said', async () => {
    const run = failing("ERROR: cannot snapshot '/s/.': No space left on device");
    await expect(snapshotSubvolume(run, '/s', '/d', 'ReadOnly')).rejects.toThrow('No space left on device');
  });
});

describe('renameTo', () => {
  const typed = 'mv --no-clobber --verbose --no-target-directory -- /s /d';

  it('renameTo: is done when mv tells what it has renamed', async () => {
    const { run, commands } = scriptedRun([[/^mv/, "renamed '/s' -> '/d'\n"]]);
    await renameTo(run, '/s', '/d');
    expect(commands).toEqual([typed]);
  });

  it('B5 renameTo: fails when mv has done nothing, whatever its exit code says', async () => {
    const { run } = scriptedRun([[/^mv/, '']]);
    await expect(renameTo(run, '/s', '/d')).rejects.toThrow(`${typed}: exit code 0: /d exists`);
  });
});

describe('commands of this room', () => {
  it('B6 files: paths stand after --', async () => {
    const { run, commands } = scriptedRun([
      [/^sync/, ''],
      [/^rm/, ''],
      [/^cp/, ''],
      [/^cat/, ''],
    ]);
    await syncFiles(run, ['-a', '-b']);
    await removePaths(run, ['-a']);
    await copyInto(run, '-a', '-b');
    await readText(run, '-a');
    for (const command of commands) expect(command).toMatch(/ -- (?:\S*\/)?-a/);
  });
});
