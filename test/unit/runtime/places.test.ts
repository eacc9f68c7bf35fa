import { describe, expect, it, test } from 'vitest';
import {
  createPlaces,
  LineFullError,
  type Occupant,
  type Place,
  type PlacesOptions,
} from '../../../src/runtime/places.ts';
import { ManualClock, settle } from '../../fakes/manual-clock.ts';

const never = new AbortController().signal;

/** `ns/vol`, or a namespace whose one volume has its name. */
function occupantOf(name: string): Occupant {
  const [namespace = '', within = name] = name.split('/');
  return { namespace, within };
}

/** Asks for places and notes in which order they are given. */
function createLine(options: Partial<PlacesOptions>) {
  const clock = new ManualClock();
  const places = createPlaces({ limit: 100, clock, ...options });
  const order: string[] = [];
  const held: { readonly name: string; readonly place: Place }[] = [];
  const ask = async (name: string, signal = never) => {
    const place = await places.acquire(occupantOf(name), signal);
    order.push(name);
    held.push({ name, place });
    return place;
  };
  const askAll = async (names: readonly string[]) => {
    for (const name of names) void ask(name);
    await settle();
  };
  const release = async (name?: string) => {
    const index = name === undefined ? 0 : held.findIndex((each) => each.name === name);
    held.splice(index, 1)[0]?.place[Symbol.dispose]();
    await settle();
  };
  return { clock, places, order, ask, askAll, release };
}

describe('createPlaces', () => {
  it('gives no more places than the limit at a time', async () => {
    const { places, order, askAll, release } = createLine({ limit: 2 });
    await askAll(['a', 'a', 'a']);
    expect({ order, running: places.running, waiting: places.waiting }).toEqual({
      order: ['a', 'a'],
      running: 2,
      waiting: 1,
    });
    await release();
    expect({ order, running: places.running, waiting: places.waiting }).toEqual({
      order: ['a', 'a', 'a'],
      running: 2,
      waiting: 0,
    });
  });

  it('serves namespaces in turn, however long the line of one of them is', async () => {
    const { order, askAll, release } = createLine({ limit: 1 });
    await askAll(['a', 'a', 'a', 'a', 'b', 'b', 'c']);
    for (let i = 0; i < 7; i++) await release();
    expect(order).toEqual(['a', 'a', 'b', 'c', 'a', 'b', 'a']);
  });

  it('gives a free place to the namespace that holds the fewest', async () => {
    const { order, askAll, release } = createLine({ limit: 3 });
    await askAll(['a', 'a', 'a']);
    await askAll(['a', 'b', 'b', 'c']);
    for (let i = 0; i < 4; i++) await release();
    expect(order.slice(3)).toEqual(['b', 'c', 'a', 'b']);
  });

  it('turns away who finds the line full', async () => {
    const { askAll, places } = createLine({ limit: 1, maxWaiting: 1 });
    await askAll(['a', 'a']);
    await expect(places.acquire(occupantOf('b'), never)).rejects.toThrow(LineFullError);
  });

  it('forgets who gives up', async () => {
    const { places, order, ask, askAll, release } = createLine({ limit: 1 });
    const impatient = new AbortController();
    await ask('a');
    const given = ask('b', impatient.signal);
    await askAll(['c']);
    impatient.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    expect(places.waiting).toBe(1);
    await release();
    expect(order).toEqual(['a', 'c']);
    await expect(ask('a', AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
  });

  it('frees a place once, however often it is disposed of', async () => {
    const { places, ask } = createLine({ limit: 1 });
    const place = await ask('a');
    place[Symbol.dispose]();
    await ask('a');
    place[Symbol.dispose]();
    expect(places.running).toBe(1);
  });
});

test('F40 places are counted within each volume: what fills one leaves the others theirs', async () => {
  const { order, askAll, release } = createLine({ limit: 4, limitWithin: 2 });
  await askAll(['ns/frozen', 'ns/frozen', 'ns/frozen', 'ns/frozen', 'ns/well']);
  expect(order).toEqual(['ns/frozen', 'ns/frozen', 'ns/well']);
  await release('ns/frozen');
  expect(order.slice(3)).toEqual(['ns/frozen']);
});

test('F40 however many volumes hang, others have all places after a while', async () => {
  const { clock, places, order, askAll } = createLine({ limit: 4, limitWithin: 2, quietMs: 5_000 });
  await askAll(['ns/1', 'ns/1', 'ns/2', 'ns/2', 'ns/3', 'ns/3', 'ns/well']);
  expect(order).toHaveLength(4);
  await clock.advance(5_000);
  expect(order.slice(4)).toEqual(['ns/3', 'ns/3', 'ns/well']);
  await askAll(['ns/1', 'ns/2', 'ns/well']);
  expect({ order: order.slice(7), running: places.running }).toEqual({ order: ['ns/well'], running: 8 });
});

test('F40 what begins in a volume that hangs takes no place from others from the start', async () => {
  const { clock, places, order, askAll, release } = createLine({ limit: 1, limitWithin: 1, quietMs: 5_000 });
  await askAll(['ns/hung']);
  await clock.advance(5_000);
  await release('ns/hung');
  await askAll(['ns/hung', 'ns/well']);
  expect(order).toEqual(['ns/hung', 'ns/hung', 'ns/well']);
  await release('ns/hung');
  await askAll(['ns/hung']);
  expect({ order: order.slice(3), waiting: places.waiting }).toEqual({ order: [], waiting: 1 });
});

test('F12 work that moves keeps its place, however long it takes', async () => {
  const { clock, order, ask, askAll } = createLine({ limit: 1, quietMs: 5_000 });
  const place = await ask('ns/long');
  await askAll(['ns/next']);
  for (let i = 0; i < 5; i++) {
    await clock.advance(4_000);
    place.moved();
  }
  expect(order).toEqual(['ns/long']);
  await clock.advance(5_000);
  expect(order).toEqual(['ns/long', 'ns/next']);
});

test('F12 one namespace does not get all places, so that another need not wait for the end of its long work', async () => {
  const { order, askAll } = createLine({ limit: 8, limitByNamespace: 6 });
  await askAll([...Array.from({ length: 8 }, (_, i) => `busy/${i}`), 'other/1']);
  expect(order).toEqual([...Array.from({ length: 6 }, (_, i) => `busy/${i}`), 'other/1']);
});
