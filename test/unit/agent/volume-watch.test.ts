import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createVolumeWatch } from '../../../src/agent/volumes/watch.ts';
import type { Storage } from '../../../src/storage/context.ts';
import { layoutOf } from '../../../src/storage/layout.ts';
import { volumeOf } from '../../builders/objects.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'volume-watch-'));
afterAll(() => rmSync(dir, { recursive: true }));

test.each([
  { of: 'a volume', going: {}, enqueued: ['default/vol'] },
  {
    of: 'one that is being deleted, by whose removal that is',
    going: { deletionTimestamp: '2026-01-01T00:00:00Z' },
    enqueued: [],
  },
])('createVolumeWatch: a mount that is gone is looked into, of $of', async ({ going, enqueued }) => {
  const volume = volumeOf({
    metadata: { name: 'vol', namespace: 'default', uid: randomUUID(), ...going },
    status: { mountPath: '/was/mounted' },
  });
  const keys: string[] = [];
  const storage = {
    layout: layoutOf(dir),
    fences: { look: async () => ({ waits: false, moved: false }), isStuck: () => false },
  } as unknown as Storage;
  const look = createVolumeWatch({
    storage,
    volumes: () => [volume],
    clock: new ManualClock(),
    usageIntervalMs: 60_000,
    enqueue: (key) => keys.push(key),
    onUsage: () => undefined,
  });
  await look();
  expect(keys).toEqual(enqueued);
});
