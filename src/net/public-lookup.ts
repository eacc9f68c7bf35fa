import { lookup } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { refusedAddress } from './download-url.ts';
import { isPublicAddress } from './public-address.ts';

export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** Every address of a name. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>;

/** As every program of this machine resolves names (getaddrinfo(3)). */
export const systemResolve: Resolve = (hostname) => lookup(hostname, { all: true });

/**
 * What a socket resolves the name of `url` with. It fails with a DownloadError when one of the addresses is none of the public
 * Internet: the socket connects to an address that was checked here, and nobody resolves the name a second time.
 */
export function publicLookup(url: URL, resolve: Resolve, allowPrivateAddresses: boolean): LookupFunction {
  const addressesOf = async (hostname: string) => {
    const addresses = await resolve(hostname);
    const [first] = addresses;
    // NOTE: a socket does not expect an empty list, and throws where nobody catches it.
    if (first === undefined) throw noAddress(hostname);
    const inside = allowPrivateAddresses ? undefined : addresses.find(({ address }) => !isPublicAddress(address));
    if (inside !== undefined) throw refusedAddress(url, inside.address);
    return { first, all: [...addresses] };
  };
  return (hostname, options, done) => {
    addressesOf(hostname).then(
      ({ first, all }) => (options.all === true ? done(null, all) : done(null, first.address, first.family)),
      (error: unknown) => done(error as NodeJS.ErrnoException, options.all === true ? [] : '', 0),
    );
  };
}

function noAddress(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`no address for ${hostname}`), { code: 'ENOTFOUND' });
}
