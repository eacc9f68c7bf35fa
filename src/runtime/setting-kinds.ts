import { posix } from 'node:path';
import { z } from 'zod';
import { type Kind, number, oneOf, text } from './settings.ts';

/** A whole number from 1. */
export const count = (max: number) => number(1, max, 'a whole number', /^\d+$/);

/** A number of seconds, which may have a fraction. */
export const seconds = (min: number, max: number) => number(min, max, 'a number of seconds');

/** A number of seconds without a fraction: what the API server takes as the duration of a Lease. */
export const wholeSeconds = (min: number, max: number) => number(min, max, 'a whole number of seconds', /^\d+$/);

/** Name of a namespace and the like (RFC 1123). */
export const dnsLabel = text(
  /^(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
  'a DNS label (a-z, 0-9 and -, 63 characters at most)',
);

/** Name of a node, a pod and the like (RFC 1123). */
export const dnsName = text(
  /^(?=.{1,253}$)[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/,
  'a DNS name (a-z, 0-9, - and ., 253 characters at most)',
);

/** Where a server listens. */
export const listenAddress = text(
  /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]*):\d{1,5}$/,
  'host:port, :port for every interface; port 0 for a free one',
);

/** Something that can be switched off. */
export const flag = oneOf('On', 'Off');

/** A directory that is not the root of everything. */
export const directoryPath: Kind<string> = {
  schema: z.string().refine((path) => posix.isAbsolute(path) && posix.normalize(path) === path && !path.endsWith('/')),
  allowed: 'an absolute path without . or .. and without a trailing slash, not /',
};

/** A path, or nothing. */
export const optionalPath: Kind<string | undefined> = {
  schema: z.string().transform((path) => (path === '' ? undefined : path)),
  allowed: 'a path',
};
