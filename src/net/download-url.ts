import { isIP } from 'node:net';
import { DownloadError } from './download-error.ts';
import { isPublicAddress } from './public-address.ts';

/** Longest part of a URL in a message. */
const MAX_SHOWN = 256;
/** Encoded slashes, backslashes, dots, percent signs and control characters: a server may take them for what they stand for. */
const AMBIGUOUS = /%(2f|5c|2e|25|[01][0-9a-f]|7f)/i;
/** A dot segment with parameters, which some servers take for a dot segment. */
const DOTS_WITH_PARAMETERS = /\/\.{1,2};/;

/** An https address below which downloads are allowed: everything whose path is its path, or begins with that and a slash. */
export function parsePrefix(text: string): URL {
  const url = parse(text);
  const isPlain = url?.protocol === 'https:' && url.username === '' && url.password === '';
  if (!isPlain || /[?#\\\s]/.test(text) || isAmbiguous(url)) {
    throw new TypeError(`not an https address without credentials, query and fragment: ${JSON.stringify(text)}`);
  }
  return url;
}

/**
 * The URL, of https and under one of the prefixes; nothing is looked up. Its path is the normalized one, without `..`.
 * Throws `refused`.
 */
export function checkUrl(text: string, prefixes: readonly URL[], base?: URL): URL {
  const url = parse(text, base);
  if (url === undefined) throw refused('it is no URL; correct it');
  const shown = shownUrl(url);
  if (url.protocol !== 'https:') throw refused(`${shown} is not https, and nothing else is taken`);
  if (url.username !== '' || url.password !== '') {
    throw refused(`${shown} has a user or a password in it; give a URL without them`);
  }
  if (isAmbiguous(url)) {
    throw refused(
      `the path of ${shown} has encoded slashes, dots or the like, which can be read in two ways; write them plainly`,
    );
  }
  if (!prefixes.some((prefix) => isUnder(url, prefix))) {
    throw refused(
      `${shown} is under none of the addresses that the operator's configuration allows; ask its administrator to add one (--download-allowed-prefixes)`,
    );
  }
  return url;
}

/** Throws `refused` for a URL whose host is written as an address that is none of the public Internet. */
export function checkLiteralAddress(url: URL): void {
  const host = hostOf(url);
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw refusedAddress(url, host);
}

/** The host as sockets and resolvers take it: IPv6 addresses without brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

export function refusedAddress(url: Pick<URL, 'host'>, address: string): DownloadError {
  const where = url.host.includes(address) ? url.host : `${url.host}, which is ${address},`;
  return refused(
    `${where} is no address of the public Internet; ask the administrator of the operator whether such may be allowed (--download-allow-private-addresses)`,
  );
}

/** For messages: without credentials, query and fragment, which may be secret. */
export function shownUrl({ protocol, host, pathname }: URL): string {
  const text = host === '' ? protocol : `${protocol}//${host}${pathname}`;
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`;
}

function isUnder(url: URL, prefix: URL): boolean {
  if (url.origin !== prefix.origin) return false;
  const path = prefix.pathname.replace(/\/$/, '');
  return url.pathname === path || url.pathname.startsWith(`${path}/`);
}

function isAmbiguous({ pathname }: URL): boolean {
  return AMBIGUOUS.test(pathname) || DOTS_WITH_PARAMETERS.test(pathname);
}

function parse(text: string, base?: URL): URL | undefined {
  return URL.parse(text, base?.href) ?? undefined;
}

function refused(why: string): DownloadError {
  return new DownloadError('refused', `could not download: ${why}`);
}
