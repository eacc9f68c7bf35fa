import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { btrfsNodeReasons, loopbackVolumeReasons } from '../../../src/api/reasons.ts';
import { buildCacheClaimReasons, buildCacheReasons } from '../../../src/api/reasons-build-cache.ts';
import { snapshotReasons } from '../../../src/api/reasons-snapshot.ts';

const srcPath = path.resolve(import.meta.dirname, '../../../src');

/** Every `reason: 'Word'` of a room, with where it stands. */
function reasonsIn(room: string): readonly (readonly [reason: string, file: string])[] {
  const files = readdirSync(path.join(srcPath, room), { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const text = readFileSync(path.join(srcPath, room, file), 'utf8');
      return [...text.matchAll(/\breason: '(\w+)'/g)].map(([, reason = '']) => [reason, `${room}/${file}`] as const);
    });
}

describe('reasons', () => {
  // Events have reasons of their own, which no condition shows.
  const ofEvents = ['Created', 'Adopted', 'Healed', 'Changed', 'Resized', 'Minimized', 'Transferred'];
  const explained = {
    ...loopbackVolumeReasons,
    ...snapshotReasons,
    ...buildCacheReasons,
    ...buildCacheClaimReasons,
  };

  it.each(['storage', 'agent', 'controller'])(
    'every reason that src/%s writes is one that the API explains',
    (room) => {
      const found = reasonsIn(room);
      expect(found.length).toBeGreaterThan(2);
      const known = [...Object.keys(explained), ...Object.keys(btrfsNodeReasons)];
      expect(found.filter(([reason]) => !known.includes(reason) && !ofEvents.includes(reason))).toEqual([]);
    },
  );

  it('a reason that storage gives a failure is one of an object in it', () => {
    const foreign = reasonsIn('storage').filter(([reason]) => !Object.hasOwn(explained, reason));
    expect(foreign).toEqual([]);
  });
});
