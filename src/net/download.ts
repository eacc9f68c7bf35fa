import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { bodyOf, tooLarge } from './download-body.ts';
import { DownloadError } from './download-error.ts';
import { checkLiteralAddress, checkUrl, hostOf, shownUrl } from './download-url.ts';
import { publicLookup, type Resolve, systemResolve } from './public-lookup.ts';

export interface DownloadOptions {
  /** Made by `parsePrefix`; nothing else is fetched, and no redirect followed to anything else. */
  readonly allowedPrefixes: readonly URL[];
  readonly maxBytes: number;
  /** The longest silence of the server, and the longest time that one answer may take. */
  readonly idleMs: number;
  /** Whom to trust; the authorities that Node knows if absent. */
  readonly secureContext?: SecureContext | undefined;
  /** Whether addresses that are none of the public Internet may be connected to. */
  readonly allowPrivateAddresses: boolean;
  /** The system's resolver if absent. */
  readonly resolve?: Resolve;
}

/** A download that has begun. */
export interface OpenedDownload {
  /** Ends only when all of it came; else it is destroyed with a {@link DownloadError}, or the signal's reason. */
  readonly stream: Readable;
  /** As the server says; undefined if it doesn't. */
  readonly totalBytes: number | undefined;
}

const MAX_REDIRECTS = 5;
const REDIRECTS: readonly (number | undefined)[] = [301, 302, 303, 307, 308];
const MAX_HEADER_BYTES = 16 * 1024;

/**
 * The content of an https URL, as it is, from under one of the allowed prefixes. Every redirect has to lead under them as well, and
 * the connection goes to an address that was checked to be public. No proxy, no cookies, no compression. The signal also breaks off the
 * stream. Throws {@link DownloadError}, or the signal's reason.
 */
export async function openDownload(
  text: string,
  options: DownloadOptions,
  signal: AbortSignal,
): Promise<OpenedDownload> {
  let url = checkUrl(text, options.allowedPrefixes);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    signal.throwIfAborted();
    if (!options.allowPrivateAddresses) checkLiteralAddress(url);
    const response = await answerOf(url, options, signal);
    if (!REDIRECTS.includes(response.statusCode)) return opened(url, response, options, signal);
    const { location } = response.headers;
    response.destroy();
    if (location === undefined) throw failed(url, `it answered HTTP ${response.statusCode} without saying where to`);
    url = checkRedirect(url, location, options.allowedPrefixes);
  }
  throw failed(url, `it redirects more than ${MAX_REDIRECTS} times`);
}

function checkRedirect(from: URL, location: string, prefixes: readonly URL[]): URL {
  try {
    return checkUrl(location, prefixes, from);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    throw new DownloadError(error.code, `${error.message}; ${shownUrl(from)} redirects there`, { cause: error });
  }
}

function opened(
  url: URL,
  response: IncomingMessage,
  { maxBytes, idleMs }: DownloadOptions,
  signal: AbortSignal,
): OpenedDownload {
  const from = shownUrl(url);
  const { 'content-length': length, 'content-encoding': encoding = 'identity' } = response.headers;
  const totalBytes = length === undefined ? undefined : Number(length);
  try {
    if (response.statusCode !== 200) throw failed(url, `it answered HTTP ${response.statusCode}`);
    if (encoding !== 'identity') throw failed(url, 'it answered with compressed content, which was not asked for');
    if (totalBytes !== undefined && totalBytes > maxBytes) throw tooLarge(from, maxBytes);
  } catch (error) {
    response.destroy();
    throw error;
  }
  const stream = bodyOf({ response, from, maxBytes, idleMs });
  stream.on('error', () => undefined); // whoever reads it learns of it; nobody may have begun
  const abort = () => stream.destroy(reasonOf(signal));
  signal.addEventListener('abort', abort, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', abort));
  return { stream, totalBytes };
}

/** The head of the answer; the body is not read. */
function answerOf(url: URL, options: DownloadOptions, signal: AbortSignal): Promise<IncomingMessage> {
  const { idleMs } = options;
  return new Promise((resolve, reject) => {
    const outgoing = open(url, options);
    const abort = () => outgoing.destroy(reasonOf(signal));
    const silence = setTimeout(
      () => outgoing.destroy(failed(url, `there was no answer within ${idleMs / 1000} s`)),
      idleMs,
    );
    const settle = (settled: () => void) => {
      clearTimeout(silence);
      signal.removeEventListener('abort', abort);
      settled();
    };
    outgoing.on('error', (error) => settle(() => reject(signal.aborted ? signal.reason : errorOf(error, url))));
    outgoing.once('response', (response) => settle(() => resolve(response)));
    signal.addEventListener('abort', abort, { once: true });
    outgoing.end();
  });
}

function open(
  url: URL,
  { secureContext, resolve = systemResolve, allowPrivateAddresses }: DownloadOptions,
): ClientRequest {
  const host = hostOf(url);
  return httpsRequest({
    method: 'GET',
    host,
    port: url.port === '' ? 443 : Number(url.port),
    path: `${url.pathname}${url.search}`,
    headers: { host: url.host, accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'btrfs-operator' },
    agent: false, // a connection of its own, by no proxy of the environment
    lookup: publicLookup(url, resolve, allowPrivateAddresses),
    servername: isIP(host) === 0 ? host : '',
    rejectUnauthorized: true,
    maxHeaderSize: MAX_HEADER_BYTES,
    ...(secureContext === undefined ? {} : { secureContext }),
  });
}

/** What OpenSSL and Node call it when a certificate is not accepted. */
const UNTRUSTED = /^(CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|INVALID_CA|ERR_TLS_CERT_)/;

function errorOf(error: Error & { readonly code?: string }, url: URL): DownloadError {
  if (error instanceof DownloadError) return error;
  const { code = 'no connection' } = error;
  if (UNTRUSTED.test(code)) {
    const way =
      'if an authority of your own signed it, ask the administrator of the operator to add that (--download-ca-file)';
    return failed(url, `its certificate is not trusted: ${code}; ${way}`, error);
  }
  return failed(url, `it can't be reached, or does not speak https: ${code}`, error);
}

function failed(url: URL, why: string, cause?: Error): DownloadError {
  return new DownloadError('failed', `could not download ${shownUrl(url)}: ${why}`, { cause });
}

function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
