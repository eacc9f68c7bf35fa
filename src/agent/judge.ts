import { ApiError, isConflict } from '../kube/errors.ts';
import type { FailureKind } from '../runtime/outcome.ts';
import { StorageError } from '../storage/errors.ts';

/** What a failed pass of the agent means for the next one. What the passes know how to wait for never gets here. */
export function judge(error: unknown): FailureKind {
  if (error instanceof StorageError) return error.code === 'aborted' ? 'benign' : 'transient';
  if (error instanceof ApiError) return isConflict(error) ? 'benign' : 'transient';
  return 'bug';
}
