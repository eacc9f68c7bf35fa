import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { removeVolume } from '../../../src/storage/volumes/remove.ts';
import { randomOf } from '../../builders/random.ts';
import { verbOf } from '../../crash/shims.ts';
import { sh } from '../recovery/host-view.ts';
import { exportOnce, FROM_SOURCE, leftOf, makeSources, NAMESPACE_UID, type Sources } from './filling.ts';
import { type Fault, makeShims, type Shims } from './shims.ts';
import { MiB, openStore, SETTINGS, type Store, scratchDir } from './store.ts';

/**
 * `each-command`: all that change something, before and after each. A seed: every kind of them once, and it says at which of its
 * repetitions, and whether before or after it.
 */
export type Strikes = 'each-command' | { readonly seed: number };

/** Enough for a filesystem; every byte is read several times. */
const EXPORTED_BYTES = 128 * MiB;

/** What these do not change can not be half done. */
const READING = /^(losetup --list|btrfs subvolume (list|show)|blkid)/;

interface Strike {
  readonly fault: Fault;
  /** Of all commands, from 1. */
  readonly nth: number;
}

/** A volume is filled and broken off again and again: it is never half filled; the next run fills it, or removes all of it. */
export async function breakOffFill(
  fill: (store: Store, uid: string, sources: Sources) => Promise<void>,
  strikes: Strikes,
): Promise<void> {
  await using scratch = scratchDir();
  const sources = makeSources(scratch.dir);
  const shims = makeShims(scratch.dir);
  await using store = await openStore({ commandPath: shims.commandPath });
  const { storage, layout } = store;
  const first = await store.made();
  const all = await strikesOf(shims, () => fill(store, first, sources), strikes);
  expect(all.length).toBeGreaterThan(8);
  for (const strike of all) {
    const uid = await store.made();
    arm(shims, strike);
    await fill(store, uid, sources).catch(() => undefined);
    shims.heal();
    if (strike.nth % 4 === 0) {
      await removeVolume(storage, uid);
      continue;
    }
    const { initialized } = await store.record(uid);
    if (!initialized) {
      await expect(storage.withTree(uid, () => Promise.resolve())).rejects.toMatchObject({ code: 'not-ready' });
      await fill(store, uid, sources);
    }
    await bringUp(storage, uid, FROM_SOURCE);
    const found = readFileSync(path.join(layout.dataPath(uid), 'file'));
    expect([strike, found.equals(sources.content)]).toEqual([strike, true]);
    const listed = sh('btrfs', 'subvolume', 'list', layout.volumePath(uid)).split('\n');
    const names = listed.map((line) => line.replace(/.* /, '')).toSorted();
    expect([strike, names]).toEqual([strike, ['.btrfs-operator', 'data']]);
    await removeVolume(storage, uid);
  }
  await removeVolume(storage, first);
  expect(leftOf(store)).toEqual([]);
}

/** A volume is exported and broken off again and again: there is no file or a whole one, the next run writes it, and all goes with the volume. */
export async function breakOffExport(strikes: Strikes): Promise<void> {
  await using scratch = scratchDir();
  const shims = makeShims(scratch.dir);
  await using store = await openStore({ commandPath: shims.commandPath });
  const fileOf = (uid: string) => path.join(store.layout.exportPath(NAMESPACE_UID, uid), 'base.img');
  const digestOf = (uid: string) =>
    createHash('sha256')
      .update(readFileSync(fileOf(uid)))
      .digest('hex');
  const first = await store.mounted(EXPORTED_BYTES);
  for (const strike of await strikesOf(shims, () => exportOnce(store, first), strikes)) {
    const uid = await store.mounted(EXPORTED_BYTES);
    arm(shims, strike);
    await exportOnce(store, uid).catch(() => undefined);
    shims.heal();
    const { done } = (await store.record(uid)).export ?? {};
    if (existsSync(fileOf(uid)) && done !== undefined) expect([strike, digestOf(uid)]).toEqual([strike, done.sha256]);
    if (strike.nth % 3 !== 0) {
      await exportOnce(store, uid);
      expect([strike, digestOf(uid)]).toEqual([strike, (await store.record(uid)).export?.done?.sha256]);
      expect([strike, readdirSync(path.dirname(fileOf(uid)))]).toEqual([strike, ['base.img']]);
    }
    await bringUp(store.storage, uid, SETTINGS);
    await removeVolume(store.storage, uid);
  }
  await removeVolume(store.storage, first);
  expect(leftOf(store)).toEqual([]);
}

/** Does the work once, to see its commands. */
async function strikesOf(shims: Shims, work: () => Promise<void>, strikes: Strikes): Promise<readonly Strike[]> {
  shims.heal();
  await work();
  const changing = [...shims.ran().entries()].filter(([, command]) => !READING.test(command));
  if (strikes === 'each-command') {
    return changing.flatMap(([index]) => (['before', 'after'] as const).map((fault) => ({ fault, nth: index + 1 })));
  }
  const random = randomOf(strikes.seed);
  return [...Map.groupBy(changing, ([, text]) => verbOf({ text })).values()].map((repetitions) => {
    const [index] = repetitions[Math.floor(random() * repetitions.length)] as [number, string];
    return { fault: random() < 0.5 ? 'before' : 'after', nth: index + 1 };
  });
}

function arm(shims: Shims, { fault, nth }: Strike): void {
  if (fault === 'before') shims.dieAt(nth);
  else shims.fail('.', { fault, nth });
}
