import { describe, expect, it } from 'vitest';
import { attachArgs, attachLoopDevice, candidates, parseLoopDevices } from '../../../src/host/losetup.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { textFixture } from '../../builders/fixtures.ts';
import { scriptedRun } from '../../fakes/scripted-run.ts';

describe('parseLoopDevices', () => {
  const text = textFixture('losetup-2.38-devices');

  it('A9 reads device, inode and what was asked for at attach', () => {
    const common = { backingDevice: '254:0', directIO: true, sectorSize: 4096 };
    expect(parseLoopDevices(text)).toEqual([
      { path: '/dev/loop1', backingInode: 9978050, autoclear: true, ...common },
      { path: '/dev/loop29', backingInode: 9978638, autoclear: false, ...common },
    ]);
  });

  it.each([
    ['an empty list', textFixture('losetup-2.38-none')],
    ['nothing printed', ''],
    ['a newline', '\n'],
  ])('no device: %s', (_, stdout) => expect(parseLoopDevices(stdout)).toEqual([]));

  it('numbers may be quoted, as older versions do', () => {
    const quoted = text.replaceAll(/: (\d+)/g, ': "$1"');
    expect(quoted).not.toBe(text);
    expect(parseLoopDevices(quoted)).toEqual(parseLoopDevices(text));
  });

  it.each([
    ['"     254:0  "', 'null'],
    ['9978050', 'null'],
  ])('a device that was detached while the list was made is left out: %s is %s', (known, gone) => {
    expect(parseLoopDevices(text.replace(known, gone)).map((device) => device.path)).toEqual(['/dev/loop29']);
  });

  it('a sector size that is not told is 512', () => {
    expect(parseLoopDevices(text.replace(/"log-sec": 4096/, '"log-sec": null'))[0]?.sectorSize).toBe(512);
  });

  it.each([
    ['text for people', 'NAME SIZELIMIT OFFSET\n/dev/loop0 0 0'],
    ['a list that was cut', text.slice(0, 200)],
    ['a list of something else', '{"blockdevices": []}'],
    ['a device without a column', text.replace(/ *"dio": true,\n/, '')],
    ['an inode that is no number', text.replace('9978050', '"x"')],
  ])('throws on %s: a device must not be taken for absent', (_, stdout) => {
    expect(() => parseLoopDevices(stdout)).toThrow(UnexpectedOutputError);
  });
});

describe('attachLoopDevice', () => {
  it.each([
    [{}, '--find --show -- /x.img'],
    [{ sectorSize: 4096 }, '--find --show --sector-size=4096 -- /x.img'],
    [{ sectorSize: 4096, directIO: true }, '--find --show --sector-size=4096 --direct-io=on -- /x.img'],
    [{ directIO: false }, '--find --show --direct-io=off -- /x.img'],
  ])('A10 A11 attachArgs: %j', (options, args) => expect(attachArgs('/x.img', options).join(' ')).toBe(args));

  it('gives the device that losetup names', async () => {
    const { run } = scriptedRun([[/^losetup --find/, '/dev/loop3\n']]);
    expect(await attachLoopDevice(run, '/x.img', {})).toBe('/dev/loop3');
  });
});

describe('candidates', () => {
  const files = new Map([
    ['/dev/loop0', '/images/11d6.img'],
    ['/dev/loop1', '/elsewhere/disk.img'],
    ['/dev/loop2', '/images/11d6.img.away'],
    ['/dev/loop3', '/gone.img (deleted)'],
    ['/dev/loop4', '/11d6/disk.img'],
    ['/dev/loop5', '/'],
  ]);

  it.each([
    ['what has its name, or may have had it', {}, [0, 2, 3, 5]],
    ['a device that is named, whatever its file is', { path: '/dev/loop1' }, [0, 1, 2, 3, 5]],
    ['all, of a file with several names', { isLinked: true }, [0, 1, 2, 3, 4, 5]],
  ])('F46 losetup: asked is %s', (_, search, numbers) => {
    expect(candidates(files, { name: '11d6', ...search })).toEqual(numbers.map((number) => `/dev/loop${number}`));
  });

  it('F46 losetup: a device that was detached when it is asked is none', () => {
    const detached = '{"loopdevices":[{"name":"/dev/loop5","back-maj:min":null,"back-ino":null}]}'; // util-linux 2.38
    expect(parseLoopDevices(detached)).toEqual([]);
  });
});
