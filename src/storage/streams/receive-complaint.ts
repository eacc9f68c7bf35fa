import { CommandError } from '../../host/command.ts';
import { StorageError } from '../errors.ts';
import { quoted } from './stream-complaint.ts';

/** What the volume or the node, not the stream, is to blame for. */
const ELSEWHERE = /Read-only file system|Input\/output error|Cannot allocate memory|^(?:unshare|setpriv|prlimit): /;

/** What {@link adaptIncrement} makes receive say of a file. */
const NO_DIRECTORY = /ERROR: chmod (.*)\/\. failed: Not a directory/;

/**
 * Gives what `btrfs receive` fails with, of a stream that the validator let pass, its meaning: a checksum that is wrong, or a command
 * that does not fit what is there, is `damaged`, reason `StreamRefused`; a volume that is full `out-of-space`, `OutOfSpace`; every
 * other error stays as it is.
 */
export async function attemptReceive(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw streamComplaintOf(error);
  }
}

function streamComplaintOf(error: unknown): unknown {
  if (!(error instanceof CommandError)) return error;
  const { exitCode, stderrTail, timedOut, aborted } = error.failure;
  const isRefusal = exitCode !== undefined && exitCode !== 0 && !timedOut && !aborted;
  if (!isRefusal || ELSEWHERE.test(stderrTail)) return error;
  if (/No space left on device/.test(stderrTail)) {
    return new StorageError('out-of-space', 'the volume has no room for the stream; raise its size, or delete data', {
      reason: 'OutOfSpace',
      cause: error,
    });
  }
  const [, given] = NO_DIRECTORY.exec(stderrTail) ?? [];
  if (given !== undefined) {
    const message = `could not accept the stream: it makes ${quoted(given)} setuid or setgid, which the configuration allows for directories only`;
    return new StorageError('refused', message, { reason: 'StreamRefused', cause: error });
  }
  return new StorageError(
    'damaged',
    `could not accept the stream: btrfs receive says: ${stderrTail.replace(/^.*?ERROR: /, '')}`,
    {
      reason: 'StreamRefused',
      cause: error,
    },
  );
}
