import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Command, Run } from './command.ts';
import { confined, type ReceivedRights } from './confine.ts';

/** Hours for a large volume; what stands still is noticed by those who watch the bytes. */
const TIMEOUT_MS = 24 * 60 * 60_000;

export interface SendOptions {
  /** A read-only subvolume. */
  readonly path: string;
  /** A read-only subvolume that the receiver has as well: only the difference to it is sent. */
  readonly parentPath?: string | undefined;
  /** The commands alone, which say how much data there would be and have none; it can't be received. */
  readonly noData?: boolean;
}

/** The command that writes a send stream to stdout, or into a file or pipe (btrfs-send(8)). */
export function sendCommand({ path, parentPath, noData }: SendOptions, outputPath?: string): Command {
  const parent = parentPath === undefined ? [] : ['-p', parentPath];
  const what = noData === true ? ['--no-data'] : [];
  const output = outputPath === undefined ? [] : ['-f', outputPath];
  return { file: 'btrfs', args: ['send', '--quiet', ...what, ...parent, ...output, '--', path], timeoutMs: TIMEOUT_MS };
}

export interface ReceiveOptions {
  /** Directory on a mounted btrfs that the subvolume is made in. */
  readonly path: string;
  /** For streams that this node did not make: `path` is the root directory, and receive has few rights besides these. */
  readonly rights?: ReceivedRights;
  readonly onStart?: (pid: number) => void;
}

/**
 * The subvolume of a stream is in the directory, read-only and with its received UUID, but not on disk yet. NOTE: a stream that
 * ends too early between two commands is taken for whole, exit code 0: the sender's end has to be looked at as well.
 */
export async function receiveStream(
  run: Run,
  { path, rights, onStart }: ReceiveOptions,
  input: Readable | string,
): Promise<void> {
  const chroot = rights === undefined ? [] : ['-C'];
  const from = typeof input === 'string' ? ['-f', input] : [];
  const command = { file: 'btrfs', args: ['receive', '--quiet', ...chroot, ...from, '--', path] };
  await run({
    ...(rights === undefined ? command : confined(command, rights)),
    timeoutMs: TIMEOUT_MS,
    ...(typeof input === 'string' ? {} : { input }),
    ...(onStart === undefined ? {} : { onStart }),
  });
}

/** A named pipe at the path; what was there before has to be gone. */
export async function makePipe(run: Run, path: string): Promise<void> {
  await run({ file: 'mkfifo', args: ['--mode=600', '--', path], timeoutMs: 10_000 });
}

/** Bytes that a process of ours has read so far; undefined when it has ended. */
export async function readBytesRead(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/io`, 'utf8').catch(() => '');
  const [, bytes] = text.match(/^rchar: (\d+)$/m) ?? [];
  return bytes === undefined ? undefined : Number(bytes);
}
