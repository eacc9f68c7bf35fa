import { readFile } from 'node:fs/promises';
import type { Download } from '../api/download.ts';
import type { AgentConfig } from '../config.ts';
import { openDownload } from '../net/download.ts';
import { DownloadError } from '../net/download-error.ts';
import { createTrust } from '../net/trusted-authorities.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { createChecksum } from '../storage/checksum.ts';
import type { Content } from '../storage/content.ts';
import type { Storage } from '../storage/context.ts';
import { StorageError } from '../storage/errors.ts';
import { openImport } from '../storage/imports.ts';

/**
 * Content that a spec names by url or file, on its way through its sha256. Throws, and the stream is destroyed with, a StorageError of
 * reason `FileNotFound`, `DownloadRefused`, `DownloadFailed` or `ChecksumMismatch`, or the signal's reason.
 */
export type OpenContent = (namespace: string, wanted: Download, signal: AbortSignal) => Promise<Content>;

export interface OutsideContentOptions {
  readonly storage: Pick<Storage, 'layout'>;
  readonly config: Pick<
    AgentConfig,
    | 'downloadAllowedPrefixes'
    | 'downloadMaxBytes'
    | 'downloadCaFile'
    | 'downloadAllowPrivateAddresses'
    | 'downloadIdleSeconds'
  >;
  readonly clock?: Pick<Clock, 'monotonicMs'>;
}

/** What a server gives does not become right by asking at once again, and all of it has to come to know that. */
const MISMATCH_LASTS_MS = 15 * 60_000;

export function createOpenContent({ storage, config, clock = systemClock }: OutsideContentOptions): OpenContent {
  const trust = createTrust();
  const mismatches = new Map<string, { readonly error: Error; readonly untilMs: number }>();
  const download = async (url: string, signal: AbortSignal): Promise<Content> => {
    try {
      const secureContext = trust(await authoritiesOf(config.downloadCaFile));
      const opened = await openDownload(
        url,
        {
          allowedPrefixes: config.downloadAllowedPrefixes,
          maxBytes: config.downloadMaxBytes,
          idleMs: config.downloadIdleSeconds * 1000,
          allowPrivateAddresses: config.downloadAllowPrivateAddresses === 'On',
          secureContext,
        },
        signal,
      );
      return { ...opened, origin: 'the content of the url' };
    } catch (error) {
      throw asStorageError(error);
    }
  };
  return async (namespace, { url, file = '', sha256 }, signal) => {
    if (url === undefined) return checked(await openImport(storage.layout, namespace, file), sha256);
    const key = `${sha256} ${url}`;
    for (const [each, { untilMs }] of mismatches) if (untilMs <= clock.monotonicMs()) mismatches.delete(each);
    const known = mismatches.get(key);
    if (known !== undefined) throw known.error;
    const content = checked(await download(url, signal), sha256);
    content.stream.once('error', (error) => {
      const isMismatch = error instanceof StorageError && error.reason === 'ChecksumMismatch';
      if (isMismatch) mismatches.set(key, { error, untilMs: clock.monotonicMs() + MISMATCH_LASTS_MS });
    });
    return content;
  };
}

/** Through its checksum if one is wanted; what the source fails with is what the result fails with. */
function checked(content: Content, sha256: string | undefined): Content {
  const { stream, origin } = content;
  const through = createChecksum(sha256, origin);
  // NOTE: nobody may listen yet, and an error that nobody hears ends the process.
  through.on('error', () => undefined);
  stream.on('error', (error) => through.destroy(asStorageError(error)));
  through.once('close', () => stream.destroy());
  return { ...content, stream: stream.pipe(through) };
}

async function authoritiesOf(caFile: string | undefined): Promise<string> {
  if (caFile === undefined) return '';
  return await readFile(caFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new DownloadError(
      'failed',
      `could not download: the file of --download-ca-file can't be read: ${error.code}`,
    );
  });
}

function asStorageError(error: unknown): Error {
  if (!(error instanceof DownloadError)) return error as Error;
  const isRefused = error.code === 'refused';
  return new StorageError(isRefused ? 'refused' : 'failed', error.message, {
    reason: isRefused ? 'DownloadRefused' : 'DownloadFailed',
    cause: error,
  });
}
