import { ApiError, isConflict, isInvalid } from '../kube/errors.ts';
import type { FailureKind } from '../runtime/outcome.ts';

/** What a failure of a pass means: of the controller, all but a defect of its own is the API server's. */
export function judge(error: unknown): FailureKind {
  if (isConflict(error)) return 'benign';
  // The server has understood and refused what we made up: the same again is refused again.
  if (isInvalid(error) || !(error instanceof ApiError)) return 'bug';
  return 'transient';
}
