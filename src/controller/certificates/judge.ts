import { isAlreadyExists, isNotFound } from '../../kube/errors.ts';
import type { FailureKind } from '../../runtime/outcome.ts';
import { judge } from '../judge.ts';

/** As {@link judge}; that another controller made the authority, or that a request was removed, is a lost race. */
export function judgeSigning(error: unknown): FailureKind {
  return isAlreadyExists(error) || isNotFound(error) ? 'benign' : judge(error);
}
