import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { CommandError, type CommandFailure } from '../../../src/host/command.ts';
import { lockFile } from '../../../src/host/flock.ts';
import { createRun, type RunOptions } from '../../../src/host/run.ts';
import { waitFor } from '../../cluster/wait-for.ts';

// Real processes on a machine that may be busy with other tests.
vi.setConfig({ testTimeout: 20_000 });

const commandPath = '/usr/bin:/bin';
const dir = mkdtempSync(path.join(tmpdir(), 'run-'));
afterAll(() => rmSync(dir, { recursive: true }));

const sh = (script: string, timeoutMs = 10_000) => ({ file: 'sh', args: ['-c', script], timeoutMs });
const runWith = (options: Partial<RunOptions> = {}) => createRun({ commandPath, ...options });
const run = runWith();

async function failureOf(running: Promise<unknown>): Promise<CommandFailure & { message: string }> {
  const error = await running.catch((reason: unknown) => reason);
  if (!(error instanceof CommandError)) throw new Error(`no CommandError: ${String(error)}`);
  return { ...error.failure, message: error.message };
}

describe('createRun: how a command ends', () => {
  it('gives what was printed, apart, untouched', async () => {
    const result = await run(sh('printf "a\\n\\n"; printf b >&2'));
    expect(result).toMatchObject({ exitCode: 0, stdout: 'a\n\n', stderr: 'b' });
    expect(result.durationMs).toBeGreaterThanOrEqual(0);
  });

  it('C22 another exit code throws, with the command, the code and the end of stderr', async () => {
    const failure = await failureOf(run(sh('echo no; echo "why not" >&2; exit 3')));
    expect(failure).toMatchObject({
      exitCode: 3,
      stderrTail: 'why not',
      timedOut: false,
      aborted: false,
      stillRunning: false,
    });
    expect(failure.message).toMatch(/^sh -c echo no; .*: exit code 3: why not$/);
  });

  it('an exit code that is an answer does not throw', async () => {
    expect(await run({ ...sh('exit 2'), okExitCodes: [0, 2] })).toMatchObject({ exitCode: 2 });
    expect(await failureOf(run({ ...sh('exit 0'), okExitCodes: [2] }))).toMatchObject({ exitCode: 0 });
  });

  it('without a word on stderr the end of stdout has to do', async () => {
    expect(await failureOf(run(sh('echo only this; exit 1')))).toMatchObject({ stderrTail: 'only this' });
  });

  it('a signal throws and is named', async () => {
    const failure = await failureOf(run(sh('kill -SEGV $$')));
    expect(failure).toMatchObject({ exitCode: undefined, signal: 'SIGSEGV', timedOut: false });
    expect(failure.message).toContain('ended by SIGSEGV');
  });

  it('a program that is not there throws, also if it is somewhere else than on the fixed PATH', async () => {
    const elsewhere = runWith({ commandPath: dir });
    expect((await failureOf(run({ file: 'no-such-tool', args: [], timeoutMs: 1000 }))).message).toContain('ENOENT');
    expect((await failureOf(elsewhere({ file: 'true', args: [], timeoutMs: 1000 }))).message).toContain('ENOENT');
  });

  it.each([
    ['zeroes', 'head -c 17000000 /dev/zero; sleep 20'],
    ['short lines without end', 'yes'],
    ['errors without end', 'cat /dev/zero >&2'],
  ])('more output than anything sane prints throws, soon: %s', async (_, script) => {
    const failure = await failureOf(run(sh(script)));
    expect(failure).toMatchObject({ stderrTail: 'more than 16777216 bytes of output', timedOut: false });
    expect(failure.durationMs).toBeLessThan(8_000);
  });

  it('a failure with very much output holds up nobody', async () => {
    const startedAt = performance.now();
    const failure = await failureOf(run(sh('yes | head -c 12000000; exit 1')));
    expect(failure.stderrTail).toMatch(/^(y; )+y$/);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
  });

  it('everything up to that is kept', async () => {
    expect((await run(sh('head -c 4000000 /dev/zero | tr "\\0" x'))).stdout).toHaveLength(4_000_000);
  });

  it('tells of each command that ended, once', async () => {
    const onCommand = vi.fn();
    const telling = runWith({ onCommand });
    await telling(sh('exit 0'));
    await telling(sh('exit 1')).catch(() => undefined);
    expect(onCommand.mock.calls.map(([, outcome]) => outcome instanceof CommandError)).toEqual([false, true]);
  });
});

describe('createRun: what a command gets', () => {
  it('PATH, LC_ALL=C and nothing else of this process', async () => {
    const { stdout } = await run({ file: 'env', args: [], timeoutMs: 5000 });
    expect(stdout.trim().split('\n').sort()).toEqual(['LC_ALL=C', `PATH=${commandPath}`]);
  });

  it('arguments as they are: no shell looks at them', async () => {
    const args = ['$(id)', '*', 'a b', '', '; exit 1', '"', "'", 'ä\n'];
    expect((await run({ file: 'printf', args: ['<%s>', ...args], timeoutMs: 5000 })).stdout).toBe(
      args.map((arg) => `<${arg}>`).join(''),
    );
  });

  it('no stdin, and no file that this process has open, but for the fence', async () => {
    await using open = await openFile(path.join(dir, 'open'), 'w');
    await using fence = await openFile(path.join(dir, 'fence'), 'w');
    const list = sh('cat; readlink /proc/$$/fd/* || true');
    expect((await run(list)).stdout).not.toContain(dir);
    const { stdout } = await runWith({ fenceFd: fence.fd })(list);
    expect(stdout.split('\n').filter((file) => file.startsWith(dir))).toEqual([path.join(dir, 'fence')]);
    expect(open.fd).toBeGreaterThan(2);
  });
});

describe.concurrent('createRun: deadlines', () => {
  it('a command that is too slow is ended and said to be', async () => {
    const failure = await failureOf(run({ file: 'sleep', args: ['60'], timeoutMs: 100 }));
    expect(failure).toMatchObject({ timedOut: true, aborted: false, stillRunning: false, signal: 'SIGTERM' });
    expect(failure.message).toBe('sleep 60: no end after 0.1 s');
    expect(failure.durationMs).toBeLessThan(8_000);
  });

  it('one that ignores SIGTERM is killed', async () => {
    const pidPath = path.join(dir, 'stubborn');
    const script = `trap '' TERM; echo $$ > ${pidPath}; while :; do sleep 0.1; done`;
    const failure = await failureOf(run(sh(script, 200)));
    expect(failure).toMatchObject({ timedOut: true, stillRunning: false });
    expect(failure.durationMs).toBeLessThan(8_000);
    expect(existsSync(`/proc/${readFileSync(pidPath, 'utf8').trim()}`)).toBe(false);
  });

  it('one that leaves a child with its pipes behind does not hold up its caller', async () => {
    const pidPath = path.join(dir, 'orphan');
    const failure = await failureOf(run(sh(`sleep 20 & echo $! > ${pidPath}; exit 0`, 200)));
    expect(failure).toMatchObject({ timedOut: true, stillRunning: true });
    expect(failure.durationMs).toBeLessThan(8_000);
    process.kill(Number(readFileSync(pidPath, 'utf8')));
  });

  it('an abort ends it, which is no timeout', async () => {
    const abort = new AbortController();
    const running = failureOf(runWith({ signal: abort.signal })({ file: 'sleep', args: ['60'], timeoutMs: 60_000 }));
    setTimeout(() => abort.abort(), 50);
    expect(await running).toMatchObject({
      aborted: true,
      timedOut: false,
      stillRunning: false,
      message: 'sleep 60: aborted',
    });
  });

  it('after the abort nothing is started any more', async () => {
    const touched = path.join(dir, 'touched');
    const signal = AbortSignal.abort();
    expect(await failureOf(runWith({ signal })({ file: 'touch', args: [touched], timeoutMs: 5000 }))).toMatchObject({
      aborted: true,
    });
    expect(existsSync(touched)).toBe(false);
  });

  it('an abort after the end changes nothing', async () => {
    const abort = new AbortController();
    const result = await runWith({ signal: abort.signal })(sh('echo done'));
    abort.abort();
    expect(result.stdout).toBe('done\n');
  });
});

describe('lockFile', () => {
  const lockPath = path.join(dir, 'lock');
  writeFileSync(lockPath, '');
  const isFree = () => spawnSync('flock', ['--nonblock', lockPath, 'true']).status === 0;
  const lock = () => lockFile(lockPath, 'r', { commandPath });

  it('is exclusive, also in one process, and ends with its handle', async () => {
    const first = await lock();
    expect(first).toBeDefined();
    expect(await lock()).toBeUndefined();
    expect(isFree()).toBe(false);
    await first?.close();
    expect(isFree()).toBe(true);
  });

  it('a file that is not there throws, unless the flags make it', async () => {
    const missing = path.join(dir, 'missing');
    await expect(lockFile(missing, 'r', { commandPath })).rejects.toThrow(/ENOENT/);
    await (await lockFile(missing, 'a', { commandPath }))?.close();
    expect(existsSync(missing)).toBe(true);
  });

  it('a missing flock(1) is no lock that somebody else has', async () => {
    await expect(lockFile(lockPath, 'r', { commandPath: dir })).rejects.toThrow(/flock.*ENOENT/);
    expect(isFree()).toBe(true);
  });

  it('a command that inherited it goes on to hold it when its caller has let go, until it ends', async () => {
    const handle = await lock();
    const pidPath = path.join(dir, 'fenced');
    const fenced = runWith({ fenceFd: handle?.fd });
    await fenced(sh(`sleep 20 > /dev/null 2>&1 & echo $! > ${pidPath}`));
    await handle?.close();
    expect(isFree()).toBe(false);
    process.kill(Number(readFileSync(pidPath, 'utf8')));
    await waitFor(isFree, { what: 'free lock' });
  });

  it('a command without it does not hold it', async () => {
    const handle = await lock();
    const pidPath = path.join(dir, 'unfenced');
    await run(sh(`sleep 20 > /dev/null 2>&1 & echo $! > ${pidPath}`));
    await handle?.close();
    expect(isFree()).toBe(true);
    process.kill(Number(readFileSync(pidPath, 'utf8')));
  });
});
