import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attempt, createStorage, type Storage } from '../../../src/storage/context.ts';
import { StorageError } from '../../../src/storage/errors.ts';
import { UID } from '../../builders/observations.ts';
import { failedCommand } from '../../fakes/scripted-run.ts';

const OTHER = UID.replace('3', '4');
let dir: string;
let storage: Storage;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'context-'));
  mkdirSync(path.join(dir, 'images'));
  mkdirSync(path.join(dir, 'bin'));
  const commandPath = `${dir}/bin:/usr/bin:/bin`;
  storage = createStorage({ rootPath: dir, commandPath, sectorSize: 4096, directIO: true });
});
afterEach(() => rmSync(dir, { recursive: true }));

const makeImage = (uid = UID) => writeFileSync(storage.layout.imagePath(uid), '');
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** True if flock(1) of another process gets the image's lock. */
function isFree(uid = UID): boolean {
  return spawnSync('flock', ['--nonblock', storage.layout.imagePath(uid), 'true']).status === 0;
}

describe('withVolume', () => {
  it('holds the lock of the image while it works, and not longer', async () => {
    makeImage();
    expect(await storage.withVolume(UID, undefined, async () => isFree())).toBe(false);
    expect(isFree()).toBe(true);
  });

  it('gives the lock back when the work fails, and tells why', async () => {
    makeImage();
    await expect(storage.withVolume(UID, undefined, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(isFree()).toBe(true);
  });

  it('without an image there is nothing to fence', async () => {
    expect(
      await storage.withVolume(
        UID,
        undefined,
        async (run) => (await run({ file: 'echo', args: ['a'], timeoutMs: 5000 })).stdout,
      ),
    ).toBe('a\n');
  });

  it('an image whose lock a command of an earlier run holds is left alone', async () => {
    makeImage();
    const result = storage.withVolume(UID, undefined, async (run) => {
      await run({ file: 'true', args: [], timeoutMs: 5000 });
      return await createStorage(storage.options).withVolume(UID, undefined, async () => 'worked on');
    });
    await expect(result).rejects.toMatchObject({ code: 'in-use', reason: 'CommandStuck' });
  });

  it('one volume: one piece of work after the other, in order, also after a failure', async () => {
    const steps: string[] = [];
    const work = (name: string, fails = false) =>
      storage.withVolume(UID, undefined, async () => {
        steps.push(`${name} begins`);
        await turn();
        steps.push(`${name} ends`);
        if (fails) throw new Error(name);
      });
    const results = await Promise.allSettled([work('a', true), work('b'), work('c')]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(steps).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('two volumes: neither waits for the other', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const hung = storage.withVolume(UID, undefined, () => promise);
    expect(await storage.withVolume(OTHER, undefined, async () => 'done')).toBe('done');
    resolve();
    await hung;
  });

  it('the signal reaches the commands', async () => {
    const abort = new AbortController();
    abort.abort();
    const work = storage.withVolume(UID, abort.signal, (run) =>
      run({ file: 'sleep', args: ['60'], timeoutMs: 60_000 }),
    );
    await expect(work).rejects.toMatchObject({ failure: { aborted: true } });
  });
});

// What the messages say: error-text.test.ts.
describe('attempt', () => {
  const command = { file: 'btrfs', args: ['filesystem', 'resize'], timeoutMs: 1000 };
  const errno = (code: string) => Object.assign(new Error(`${code}: it went wrong, write`), { code, syscall: 'write' });
  const thrownBy = async (error: unknown) =>
    await attempt('grow the volume', () => Promise.reject(error)).catch((reason: unknown) => reason);

  it('gives back what the work gives', async () => expect(await attempt('do it', async () => 7)).toBe(7));

  it.each([
    ['a full volume', failedCommand(command, { stderrTail: 'No space left on device' }), 'out-of-space', 'OutOfSpace'],
    [
      'a command that can not be killed',
      failedCommand(command, { aborted: true, stillRunning: true }),
      'timeout',
      'CommandStuck',
    ],
    ['a full node', errno('ENOSPC'), 'out-of-space', 'HostPressure'],
    ['a quota of the node', errno('EDQUOT'), 'out-of-space', 'HostPressure'],
    ['any other failure of the node', errno('EIO'), 'failed', 'CommandFailed'],
  ] as const)('%s has a code and a reason', async (_, error, code, reason) => {
    expect(await thrownBy(error)).toMatchObject({ name: 'StorageError', code, reason, cause: error });
  });

  it.each([
    ['cp', 'No space left on device', 'OutOfSpace'],
    ['btrfs', 'No space left on device', 'OutOfSpace'],
    ['cp', 'Disk quota exceeded', 'OutOfSpace'],
    ['mkfs.btrfs', 'No space left on device', 'HostPressure'],
    ['truncate', 'No space left on device', 'HostPressure'],
  ])('F42 what is full is told from the command: %s, %s: %s', async (file, stderrTail, reason) => {
    const error = await thrownBy(failedCommand({ ...command, file }, { stderrTail }));
    expect(error).toMatchObject({ code: 'out-of-space', reason, message: expect.stringMatching(/full; (raise|free)/) });
  });

  it('what is judged already passes unchanged', async () => {
    const judged = new StorageError('foreign', 'not ours', { reason: 'ForeignFilesystem' });
    expect(await thrownBy(judged)).toBe(judged);
  });
});
