import { rawCreate, rawGrow, rawRemove, rawShrink } from './raw.ts';
import { compare, heading, names } from './table.ts';
import { Times } from './times.ts';
import type { Users } from './user.ts';

const ROUNDS = 10;
const MANY = 50;
const MIN_BYTES = 256 * 2 ** 20;

export async function benchVolumes(volumes: Users['volumes'], rawDir: string): Promise<void> {
  heading('LoopbackVolume');
  await benchOne(volumes, rawDir);
  await benchMany(volumes, rawDir);
}

async function benchOne(volumes: Users['volumes'], rawDir: string): Promise<void> {
  const times = { raw: new Times(), ours: new Times() };
  for (let round = 0; round < ROUNDS; round++) {
    const name = `one-${round}`;
    const raw = await times.raw.of('apply to Ready', () => rawCreate(rawDir, name, '1G'));
    await times.ours.of('apply to Ready', () => volumes.create(name, { size: '1Gi', nodeName: 'node-a' }));
    await times.raw.of('grow', () => rawGrow(raw, '2G'));
    await times.ours.of('grow', () => volumes.change(name, { size: '2Gi' }, 'Resized'));
    await times.raw.of('minimize (near-empty)', () => rawShrink(raw, MIN_BYTES));
    await times.ours.of('minimize (near-empty)', () => volumes.change(name, { minimize: {} }, 'Resized'));
    await times.raw.of('delete', () => rawRemove(raw));
    await times.ours.of('delete', () => volumes.remove(name));
  }
  for (const what of times.raw.names())
    compare(`${what}, one volume, median of ${ROUNDS}`, times.raw.median(what), times.ours.median(what));
}

async function benchMany(volumes: Users['volumes'], rawDir: string): Promise<void> {
  const all = names('many', MANY);
  const times = { raw: new Times(), ours: new Times() };
  const raws = await times.raw.of('create', async () => {
    const made = [];
    for (const name of all) made.push(await rawCreate(rawDir, name, '1G'));
    return made;
  });
  await times.raw.of('delete', async () => {
    for (const raw of raws) await rawRemove(raw);
  });
  await times.ours.of('create', () =>
    Promise.all(all.map((name) => volumes.create(name, { size: '1Gi', nodeName: 'node-a' }))),
  );
  await times.ours.of('delete', () => Promise.all(all.map((name) => volumes.remove(name))));
  compare(`create ${MANY} at once (raw: in a row)`, times.raw.median('create'), times.ours.median('create'));
  compare(`delete ${MANY} at once (raw: in a row)`, times.raw.median('delete'), times.ours.median('delete'));
}
