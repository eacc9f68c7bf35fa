import { describe, expect, it } from 'vitest';
import { printableTail } from '../../../src/host/run.ts';
import { attempt } from '../../../src/storage/context.ts';
import { StorageError } from '../../../src/storage/errors.ts';
import { failedCommand } from '../../fakes/scripted-run.ts';

const command = (...args: string[]) => ({ file: 'btrfs', args, timeoutMs: 1000 });
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** What `attempt` throws when this goes wrong in it. */
async function thrownBy(error: unknown): Promise<StorageError> {
  const thrown = await attempt('grow the volume', () => Promise.reject(error)).catch((reason: unknown) => reason);
  expect(thrown).toBeInstanceOf(StorageError);
  return thrown as StorageError;
}

describe('text of failures', () => {
  it.each([
    ['escape sequences', '\u001b[31mERROR\u001b[0m: \u0007bad', '[31mERROR[0m: bad'],
    ['line breaks', 'one\ntwo\r\n\n three', 'one; two; three'],
    ['C1 controls and Unicode line ends', 'a\u009bb\u2028c\u2029d', 'abcd'],
    ['text that runs backwards', 'a\u202etxt.exe\u2066b', 'atxt.exeb'],
  ])('C22 printableTail: strips %s', (_, text, expected) => expect(printableTail(text)).toBe(expected));

  it('C22 printableTail: keeps the end, 256 bytes at most, and cuts no character in two', () => {
    const tail = printableTail(`${'ä'.repeat(500)}x`);
    expect(Buffer.byteLength(tail)).toBeLessThanOrEqual(256);
    expect(tail).toMatch(/^ä+x$/);
  });

  it('C22 StorageError: carries what was done, the command, its exit code and the end of its stderr', async () => {
    const failed = failedCommand(command('filesystem', 'resize', 'max', '/mnt'), {
      exitCode: 3,
      stderrTail: 'ERROR: unable to resize',
    });
    expect((await thrownBy(failed)).message).toBe(
      'could not grow the volume: btrfs filesystem resize max /mnt: exit code 3: ERROR: unable to resize',
    );
  });

  it('C22 StorageError: an argument that came from a spec is made safe to print', async () => {
    const failed = failedCommand(command('filesystem', 'label', '/mnt', 'a\u001b[2J\nReady\u202e'), { exitCode: 1 });
    const { message } = await thrownBy(failed);
    expect(message).not.toMatch(UNPRINTABLE);
    expect(message).toContain('exit code 1');
  });

  it.each([
    ['a signal', { exitCode: undefined, signal: 'SIGSEGV' }, 'failed', /ended by SIGSEGV/],
    ['a deadline', { timedOut: true, stillRunning: true }, 'timeout', /no end after 1 s/],
    ['an abort', { aborted: true }, 'aborted', /aborted/],
    [
      'a full file system',
      { stderrTail: 'No space left on device' },
      'out-of-space',
      /volume is full; raise its spec.size/,
    ],
  ] as const)('C22 StorageError: %s has a code and a text of its own', async (_, failure, code, text) => {
    const error = await thrownBy(failedCommand(command('x'), failure));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(text);
  });

  it('C22 StorageError: the same failure has the same text each time, whenever and however long it took', async () => {
    const once = await thrownBy(failedCommand(command('x'), { stderrTail: 'no', durationMs: 5 }));
    const again = await thrownBy(failedCommand(command('x'), { stderrTail: 'no', durationMs: 999 }));
    expect(again.message).toBe(once.message);
  });

  it('F36 StorageError: a try with another loop device that fails in the same way has the same text', async () => {
    const onLoop = (path: string) => thrownBy(failedCommand(command(path), { exitCode: 1, stderrTail: `${path}: no` }));
    const { message } = await onLoop('/dev/loop7');
    expect(message).toBe('could not grow the volume: btrfs the loop device: exit code 1: the loop device: no');
    expect((await onLoop('/dev/loop12')).message).toBe(message);
  });

  it('C22 StorageError: what the host file system refused is said with the call and the path', async () => {
    const refused = Object.assign(new Error("EROFS: read-only file system, open '/root/records/x.json.tmp'"), {
      code: 'EROFS',
      syscall: 'open',
    });
    const error = await thrownBy(refused);
    expect(error.code).toBe('failed');
    expect(error.message).toBe(`could not grow the volume: ${refused.message}`);
  });

  it('C22 attempt: a bug stays a bug', async () => {
    await expect(attempt('x', () => Promise.reject(new TypeError('undefined is not')))).rejects.toThrow(TypeError);
  });
});
