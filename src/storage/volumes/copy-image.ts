import { stat } from 'node:fs/promises';
import { isOutOfSpace } from '../../host/btrfs-filesystem.ts';
import type { Run } from '../../host/command.ts';
import { copySparse } from '../../host/image.ts';
import { StorageError } from '../errors.ts';

/** How often the bytes of a copy are looked at. */
const LOOK_MS = 500;

/** `destination` has the content of the image at `source`, both on the node's own filesystem. Throws `out-of-space` (HostPressure). */
export async function copyImage(
  run: Run,
  source: string,
  destination: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  using _look = watchAllocated(destination, onBytes);
  await copySparse(run, source, destination).catch((cause: unknown) => {
    if (!isOutOfSpace(cause)) throw cause;
    throw new StorageError('out-of-space', "the node's file system is full; free space on it", {
      reason: 'HostPressure',
      cause,
    });
  });
}

/** Tells what a file takes on the node again and again, until it is disposed of. */
export function watchAllocated(path: string, onBytes: (bytes: number) => void): Disposable {
  const look = () =>
    void stat(path).then(
      ({ blocks }) => onBytes(blocks * 512),
      () => undefined,
    );
  const timer = setInterval(look, LOOK_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
