import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { resizeUnfilled } from '../../../src/storage/volumes/fill.ts';
import { mountsBelow } from '../recovery/host-view.ts';
import { FROM_SOURCE, fillFromStream, makeSources } from './filling.ts';
import { MiB, openStore, scratchDir } from './store.ts';

const TIMEOUT_MS = 240_000;

describe('a volume with a source', { timeout: TIMEOUT_MS }, () => {
  it('resizeUnfilled: what is there is given up; a whole volume is not touched', async () => {
    await using scratch = scratchDir();
    const sources = makeSources(scratch.dir);
    await using store = await openStore();
    const uid = await store.made();
    await bringUp(store.storage, uid, FROM_SOURCE);
    await resizeUnfilled(store.storage, uid, 400 * MiB);
    expect(await store.record(uid)).toMatchObject({ initialized: false, sizeBytes: 400 * MiB });
    await fillFromStream(store, uid, sources);
    await expect(resizeUnfilled(store.storage, uid, 500 * MiB)).rejects.toMatchObject({ code: 'conflict' });
    expect(await store.record(uid)).toMatchObject({ initialized: true, sizeBytes: 400 * MiB });
  });

  it('fillVolume: a source that fails leaves neither mount nor device', async () => {
    await using scratch = scratchDir();
    const sources = makeSources(scratch.dir);
    await using store = await openStore();
    const uid = await store.made();
    const cut = readFileSync(sources.streamPath).subarray(0, 100_000);
    writeFileSync(sources.streamPath, cut);
    await expect(fillFromStream(store, uid, sources)).rejects.toMatchObject({ reason: 'StreamRefused' });
    expect(mountsBelow(store.layout.rootPath)).toEqual([]);
  });
});
