import { expect, test, vi } from 'vitest';
import { createHostRoom, type LargeWrite } from '../../../src/agent/host-room.ts';

const settings = {
  overcommitRatio: 1,
  reserveBytes: 0,
  hostPressurePercent: 10,
  hostPressureBytes: undefined,
};
const { signal } = new AbortController();
const write = (neededBytes: number, parts: Partial<LargeWrite> = {}): LargeWrite => ({
  name: 'a',
  into: 'Export',
  neededBytes,
  signal,
  ...parts,
});

/** A node of 1,000 bytes, 100 of which are to stay free. */
function hostWith(freeBytes: number) {
  const space = { totalBytes: 1_000, freeBytes };
  return { space, room: createHostRoom(async () => space, settings) };
}
const never = () => new Promise<never>(() => undefined);
const done = async () => 'done';

test('F13 createHostRoom: what would leave too little free is not begun, and nothing is written', async () => {
  const { room } = hostWith(500);
  const work = vi.fn(done);
  await expect(room.use(write(401), work)).rejects.toMatchObject({ code: 'out-of-space', reason: 'HostPressure' });
  expect(work).not.toHaveBeenCalled();
  expect(await room.use(write(400), work)).toBe('done');
});

test('F13 createHostRoom: what is promised to one is not promised to the next, less what it has written', async () => {
  const { space, room } = hostWith(500);
  let wrote: (bytes: number) => void = () => undefined;
  void room.use(write(300), ({ onBytes }) => {
    wrote = onBytes;
    return never();
  });
  await vi.waitFor(() => expect(room.promisedBytes).toBe(300));
  await expect(room.use(write(101), done)).rejects.toThrow('is not begun');
  space.freeBytes -= 300;
  wrote(300);
  expect(await room.use(write(100), done)).toBe('done');
  expect(room.promisedBytes).toBe(300);
});

test('F13 createHostRoom: an image is counted by its volume, not here', async () => {
  const { room } = hostWith(500);
  void room.use(write(300, { into: 'Image' }), never);
  expect(await room.use(write(10), async () => room.promisedBytes)).toBe(10);
});

test('F13 createHostRoom: what runs when pressure begins is broken off, and begun again when there is more room than it had', async () => {
  const { space, room } = hostWith(300);
  const running = room.use(write(0), async (given) => {
    given.onBytes(160);
    space.freeBytes = 99;
    await new Promise((_, reject) => given.signal.addEventListener('abort', () => reject(given.signal.reason)));
  });
  await expect(running).rejects.toThrow(/the export was broken off and removed: the node's file system is almost full/);
  space.freeBytes = 299;
  await expect(room.use(write(0), done)).rejects.toThrow('the export is not begun: all of it would leave');
  expect(await room.use(write(0, { name: 'b' }), done)).toBe('done');
  space.freeBytes = 300;
  expect(await room.use(write(0), done)).toBe('done');
  space.freeBytes = 150;
  expect(await room.use(write(0), done)).toBe('done');
});

test('F13 createHostRoom: what fails by itself, or is called off, stays that', async () => {
  const { room } = hostWith(500);
  await expect(room.use(write(1), () => Promise.reject(new Error('other')))).rejects.toThrow('other');
  expect(room.promisedBytes).toBe(0);
});
