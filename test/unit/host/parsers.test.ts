import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseBlkidExport, probeContent } from '../../../src/host/blkid.ts';
import { parseErrorStats } from '../../../src/host/btrfs-sysfs.ts';
import type { Command } from '../../../src/host/command.ts';
import { parseOwner } from '../../../src/host/coreutils.ts';
import { mkfsArgs } from '../../../src/host/mkfs.ts';
import { createRun } from '../../../src/host/run.ts';
import { parseSubvolumeShow } from '../../../src/host/subvolume.ts';
import { parseSuperblock, readDeviceSuperblock, readSuperblock } from '../../../src/host/superblock.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { listsBtrfs, parseBtrfsVersion } from '../../../src/host/versions.ts';
import { sumOfErrors } from '../../../src/storage/device-errors.ts';
import { fixture, textFixture } from '../../builders/fixtures.ts';
import { FILESYSTEM_UUID } from '../../builders/observations.ts';
import { MIB } from '../../builders/wishes.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'parsers-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('blkid', () => {
  it.each([
    ['blkid-2.38-ext4', 'ext4'],
    ['blkid-2.38-btrfs', 'btrfs'],
    ['blkid-2.38-dos', 'dos'],
  ])('A6 parseBlkidExport: %s', (name, content) => expect(parseBlkidExport(textFixture(name))).toBe(content));

  it.each([
    ['nothing', ''],
    ['a label that looks like a type', 'LABEL=TYPE=ext4\n'],
    ['a name that ends in TYPE', 'SEC_TYPE=ext2\n'],
  ])('A6 parseBlkidExport: %s is no content', (_, stdout) => expect(parseBlkidExport(stdout)).toBeUndefined());

  it.each([
    [0, textFixture('blkid-2.38-ext4'), 'ext4'],
    [2, '', undefined],
    [8, '', 'several signatures'],
  ])('A6 probeContent: exit code %i', async (exitCode, stdout, content) => {
    const asked: Command[] = [];
    const found = await probeContent(async (command) => {
      asked.push(command);
      return { exitCode, stdout, stderr: '', durationMs: 1 };
    }, '/x.img');
    expect(found).toBe(content);
    expect(asked[0]?.okExitCodes).toContain(exitCode);
  });
});

describe('superblock', () => {
  const block = fixture('mkfs.btrfs-6.2-superblock');

  it('A23 parseSuperblock: tells UUID, last commit, size, number of devices, label, and whether it is a seed', () => {
    const plain = {
      filesystemUUID: FILESYSTEM_UUID,
      generation: 7,
      totalBytes: 256 * MIB,
      deviceCount: 1,
      sectorBytes: 4096,
      isMixed: false,
      isSeed: false,
      label: 'demo',
    };
    expect(parseSuperblock(block)).toEqual(plain);
    const labelled = Buffer.from(block);
    labelled.write('über all\0rest', 0x12b);
    expect(parseSuperblock(labelled)).toEqual({ ...plain, label: 'über all' });
    const seed = Buffer.from(block);
    seed.writeBigUInt64LE(2n ** 32n, 0x38);
    seed.writeBigUInt64LE(3n, 0x88);
    expect(parseSuperblock(seed)).toEqual({ ...plain, deviceCount: 3, isSeed: true });
    const mixed = Buffer.from(block);
    mixed.writeUInt8(mixed.readUInt8(0xbc) | 4, 0xbc);
    expect(parseSuperblock(mixed)).toEqual({ ...plain, isMixed: true });
  });

  it.each([
    ['zeroes', Buffer.alloc(4096)],
    ['another magic', Buffer.from(block).fill('X', 0x40, 0x41)],
    ['nothing', Buffer.alloc(0)],
  ])('A23 parseSuperblock: %s is none', (_, bytes) => expect(parseSuperblock(bytes)).toBeUndefined());

  it('F40 readDeviceSuperblock: reads by a command what is read of a file, so that no thread of the agent waits for a device', async () => {
    const devicePath = path.join(dir, 'device');
    writeFileSync(devicePath, Buffer.concat([Buffer.alloc(65536), block]));
    const run = createRun({ commandPath: '/usr/bin:/bin' });
    expect(await readDeviceSuperblock(run, devicePath)).toEqual(await readSuperblock(devicePath));
    expect(await readDeviceSuperblock(run, '/dev/zero')).toBeUndefined();
  });

  it.each([
    ['in its place', 2 * 65536, true],
    ['cut off', 65536 + 4095, false],
    ['beyond the end', 65536, false],
    ['in an empty file', 0, false],
  ])('A23 readSuperblock: %s', async (_, sizeBytes, found) => {
    const imagePath = path.join(dir, 'image');
    writeFileSync(imagePath, Buffer.concat([Buffer.alloc(65536), block]));
    truncateSync(imagePath, sizeBytes);
    expect((await readSuperblock(imagePath)) !== undefined).toBe(found);
  });
});

describe('btrfs', () => {
  it.each([
    ['btrfs-6.2-subvolume-show', 256, 'a7697890-4f30-4745-95ac-b5b75def9bd3'],
    ['btrfs-6.2-subvolume-show-with-snapshot', 256, 'a7697890-4f30-4745-95ac-b5b75def9bd3'],
    ['btrfs-6.2-subvolume-show-top', 5, '6585fd07-3d34-4ce2-b6e7-09c216b2ff1f'],
  ])('parseSubvolumeShow: %s', (name, id, uuid) => expect(parseSubvolumeShow(textFixture(name))).toEqual({ id, uuid }));

  const shown = textFixture('btrfs-6.2-subvolume-show');
  it.each([
    ['nothing', ''],
    ['no uuid (a filesystem of an old kernel)', shown.replace(/\tUUID: .*/, '\tUUID: \t\t\t-')],
    ['no id', shown.replace('Subvolume ID', 'Object ID')],
    ['an id that is no number', shown.replace(/(Subvolume ID: *\t*)256/, '$1x')],
  ])('parseSubvolumeShow: throws on %s', (_, stdout) => {
    expect(() => parseSubvolumeShow(stdout)).toThrow(UnexpectedOutputError);
  });

  it.each([
    [textFixture('btrfs-6.2-version'), '6.2'],
    ['btrfs-progs v6.6.3\n', '6.6.3'],
    ['btrfs-progs v6.14\n-EXPERIMENTAL +INJECT\n', '6.14'],
    ['btrfs-progs v5.16-rc1\n', '5.16'],
  ])('parseBtrfsVersion: %j', (stdout, version) => expect(parseBtrfsVersion(stdout)).toBe(version));

  it.each(['', 'btrfs: command not found', 'Btrfs v0.19'])('parseBtrfsVersion: throws on %j', (stdout) =>
    expect(() => parseBtrfsVersion(stdout)).toThrow(UnexpectedOutputError),
  );

  it('parseErrorStats: adds up what the kernel counted for each device, by kind', () => {
    const stats = textFixture('linux-6.18-error-stats');
    const none = { write: 0, read: 0, flush: 0, corruption: 0, generation: 0 };
    expect(parseErrorStats(stats)).toEqual(none);
    const some = stats.replace('read_errs 0', 'read_errs 3').replace('generation_errs 0', 'generation_errs 40');
    expect(parseErrorStats(`${some}\n${some}`)).toEqual({ ...none, read: 6, generation: 80 });
    expect(sumOfErrors(parseErrorStats(some))).toBe(43);
    expect(parseErrorStats('invalid\n')).toEqual({});
    expect(parseErrorStats('')).toEqual({});
  });

  it('listsBtrfs: the kernel has it, and no other name will do', () => {
    const filesystems = textFixture('linux-6.18-filesystems');
    expect(listsBtrfs(filesystems)).toBe(true);
    expect(listsBtrfs(filesystems.replace('\tbtrfs', '\tbtrfs2'))).toBe(false);
  });

  it.each([
    ['single', '--metadata single'],
    ['dup', '--metadata dup'],
  ] as const)('A4 mkfsArgs: metadata %s', (metadataProfile, args) => {
    expect(mkfsArgs('/dev/loop7', { label: 'a', metadataProfile }, []).join(' ')).toContain(args);
  });

  it('A4 mkfsArgs: a label is one argument', () => {
    const args = mkfsArgs('/dev/loop7', { metadataProfile: 'single', label: '-f a' }, ['--best']);
    expect(args.slice(args.indexOf('--label'))).toEqual(['--label', '-f a', '--best', '--', '/dev/loop7']);
  });
});

describe('stat', () => {
  it.each([
    ['0 0 755\n', 0, 0, '0755'],
    ['1000 100 0\n', 1000, 100, '0000'],
    ['4294967294 0 77\n', 4294967294, 0, '0077'],
    // A tenant may set these on its directory, and install(1) would not take them away.
    ['0 0 2755\n', 0, 0, '0755'],
    ['0 0 1777\n', 0, 0, '0777'],
    ['0 0 6700\n', 0, 0, '0700'],
  ])('parseOwner: %j', (stdout, uid, gid, mode) => expect(parseOwner(stdout)).toEqual({ uid, gid, mode }));

  it.each(['', '0 0', 'root root 755', '0 0 888', '0 0 755\n0 0 755\n', '-1 0 755'])(
    'parseOwner: throws on %j',
    (stdout) => expect(() => parseOwner(stdout)).toThrow(UnexpectedOutputError),
  );
});
