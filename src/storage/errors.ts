/** Why a verb of this room could not be done; the reconciler turns a code into a condition and a retry. */
export type StorageErrorCode =
  | 'not-found'
  | 'not-ready'
  | 'conflict'
  | 'in-use'
  | 'out-of-space'
  | 'damaged'
  | 'refused'
  | 'foreign'
  | 'unsupported'
  | 'timeout'
  | 'aborted'
  | 'failed';

export interface StorageErrorOptions extends ErrorOptions {
  /** CamelCase reason for a condition, e.g. `ForeignFilesystem`, `StillInUse`. */
  readonly reason?: string;
}

/** One line: what could not be done, to which object, the offending value, and what to do. No pid, time or temporary name. */
export class StorageError extends Error {
  readonly code: StorageErrorCode;
  readonly reason: string | undefined;

  constructor(code: StorageErrorCode, message: string, options: StorageErrorOptions = {}) {
    super(message, options);
    this.name = 'StorageError';
    this.code = code;
    this.reason = options.reason;
  }
}
