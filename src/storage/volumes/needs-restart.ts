import { StorageError } from '../errors.ts';

/** What a volume says that btrfs turned read-only while something uses it that only its owner can end. */
export function needsRestart(why: string, cause?: unknown): StorageError {
  return new StorageError(
    'in-use',
    `btrfs turned the volume read-only after an error, and it can't be mounted anew because ${why}; end what uses it`,
    { cause, reason: 'ReadOnlyNeedsRestart' },
  );
}

export const HELD_ELSEWHERE = 'another mount namespace, most likely a pod, has it mounted';
