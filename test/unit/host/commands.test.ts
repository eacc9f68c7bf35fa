import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { liveDevices, readDeviceErrors, readLabel } from '../../../src/host/btrfs-sysfs.ts';
import { type Command, CommandError, type CommandFailure, type Run } from '../../../src/host/command.ts';
import { ensureDirectory, readOwner, setImmutable, syncFile, truncateFile } from '../../../src/host/coreutils.ts';
import { askLoopDevices, detachLoopDevice, setLoopCapacity } from '../../../src/host/losetup.ts';
import { createSubvolume, showSubvolume } from '../../../src/host/subvolume.ts';
import { readBtrfsProgsVersion } from '../../../src/host/versions.ts';
import { textFixture } from '../../builders/fixtures.ts';
import { failedCommand, scriptedRun } from '../../fakes/scripted-run.ts';

const owner = { uid: 1000, gid: 100, mode: '0750' };

interface Row {
  readonly verb: (run: Run) => Promise<unknown>;
  readonly typed: string;
  readonly answer?: string;
}

const rows: readonly Row[] = [
  {
    verb: (run) => ensureDirectory(run, '/d', owner),
    typed: 'install --directory --owner=1000 --group=100 --mode=0750 -- /d',
  },
  { verb: (run) => readOwner(run, '/d'), typed: 'stat --format=%u %g %a -- /d', answer: '0 0 755\n' },
  { verb: (run) => setImmutable(run, '/d', 'on'), typed: 'chattr +i -- /d' },
  { verb: (run) => setImmutable(run, '/d', 'off'), typed: 'chattr -i -- /d' },
  { verb: (run) => truncateFile(run, '/f', 4096), typed: 'truncate --size=4096 -- /f' },
  { verb: (run) => syncFile(run, '/f'), typed: 'sync -- /f' },
  { verb: (run) => detachLoopDevice(run, '/dev/loop7'), typed: 'losetup --detach /dev/loop7' },
  { verb: (run) => setLoopCapacity(run, '/dev/loop7'), typed: 'losetup --set-capacity /dev/loop7' },
  {
    verb: (run) => askLoopDevices(run, ['/dev/loop7']),
    typed: 'losetup --list --json --output NAME,BACK-MAJ:MIN,BACK-INO,AUTOCLEAR,DIO,LOG-SEC -- /dev/loop7',
  },
  { verb: (run) => createSubvolume(run, '/s'), typed: 'btrfs subvolume create -- /s' },
  {
    verb: (run) => showSubvolume(run, '/s'),
    typed: 'btrfs subvolume show -- /s',
    answer: textFixture('btrfs-6.2-subvolume-show'),
  },
  { verb: readBtrfsProgsVersion, typed: 'btrfs --version', answer: textFixture('btrfs-6.2-version') },
];

describe('commands', () => {
  it.each(rows)('$typed', async ({ verb, typed, answer = '' }) => {
    const { run, commands } = scriptedRun([[/^/, answer]]);
    await verb(run);
    expect(commands).toEqual([typed]);
  });

  it.each(rows)('$typed: has a deadline, and its failure passes as it is', async ({ verb }) => {
    const ran: Command[] = [];
    const failing: Run = async (command) => {
      ran.push(command);
      throw failedCommand(command, { stderrTail: 'no' });
    };
    await expect(verb(failing)).rejects.toThrow(CommandError);
    expect(ran[0]?.timeoutMs).toBeGreaterThanOrEqual(30_000);
    expect(ran[0]?.timeoutMs).toBeLessThanOrEqual(600_000);
  });
});

describe('CommandError', () => {
  const command = { file: 'btrfs', args: ['filesystem', 'label', '--', '/mnt', 'a\nb'], timeoutMs: 1500 };
  it.each([
    [{ exitCode: 3, stderrTail: 'no' }, 'exit code 3: no'],
    [{ exitCode: 3 }, 'exit code 3'],
    [{ exitCode: undefined, stderrTail: 'spawn btrfs ENOENT' }, 'exit code unknown: spawn btrfs ENOENT'],
    [{ exitCode: undefined, signal: 'SIGKILL', stderrTail: 'half' }, 'ended by SIGKILL: half'],
    [{ exitCode: undefined, signal: 'SIGTERM', timedOut: true, stderrTail: 'half' }, 'no end after 1.5 s'],
    [{ exitCode: 0, aborted: true }, 'aborted'],
  ] as readonly (readonly [Partial<CommandFailure>, string])[])('C22 CommandError: %j reads %s', (failure, says) => {
    const { message } = failedCommand(command, failure);
    expect(message).toMatch(/^btrfs filesystem label -- \/mnt a.*b: /);
    expect(message.endsWith(`: ${says}`)).toBe(true);
    expect(message).not.toContain('\n');
  });
});

describe('sysfs of a filesystem that is not live', () => {
  it('C16 has no devices, no label and no errors', async () => {
    const nobody = randomUUID();
    expect(await liveDevices(nobody)).toBeUndefined();
    expect(await readLabel(nobody)).toBeUndefined();
    expect(await readDeviceErrors(nobody)).toEqual({});
  });
});
