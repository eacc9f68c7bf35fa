import { describe, expect, it } from 'vitest';
import type { VolumeRecord } from '../../../src/storage/records.ts';
import { proveSingleDevice } from '../../../src/storage/volumes/identify.ts';

const record = { filesystemUUID: '6b1f33a5-93e3-4a8b-9c54-0d8d39c6a1f0' } as VolumeRecord;
const loop = (path: string, autoclear = false) => ({ path, autoclear });

describe('proveSingleDevice', () => {
  it.each([
    ['nothing is attached', [], undefined],
    ['one device, not mounted', [loop('/dev/loop1')], undefined],
    ['one device, mounted from it', [loop('/dev/loop1')], ['loop1']],
  ])('C16 proveSingleDevice: lets pass: %s', (_, loops, live) => {
    expect(() => proveSingleDevice(record, loops, live)).not.toThrow();
  });

  it.each([
    ['two devices have the image', [loop('/dev/loop1'), loop('/dev/loop2')], undefined, 'StillInUse', 'loop1'],
    ['the one device is about to go', [loop('/dev/loop1', true)], ['loop1'], 'StillInUse', 'loop1'],
    ['the file system lives on a device of nobody', [], ['loop9'], 'DuplicateFilesystem', 'loop9'],
    ['it lives on another device', [loop('/dev/loop1')], ['loop9'], 'DuplicateFilesystem', 'loop9'],
  ])('C16 proveSingleDevice: refuses: %s', (_, loops, live, reason, named) => {
    expect(() => proveSingleDevice(record, loops, live)).toThrow(
      expect.objectContaining({ reason, message: expect.stringContaining(named) }),
    );
  });
});
