/** `refused`: not allowed here, the same on every try. `failed`: it did not work this time. */
export type DownloadErrorCode = 'refused' | 'failed';

/** Nothing was downloaded, or not all of it. The message is one line without credentials and queries of any URL. */
export class DownloadError extends Error {
  readonly code: DownloadErrorCode;

  constructor(code: DownloadErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.name = 'DownloadError';
    this.code = code;
  }
}
