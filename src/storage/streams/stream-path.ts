import { quoted, refuse } from './stream-complaint.ts';

/** PATH_MAX and NAME_MAX of Linux, in bytes, without the NUL at the end. */
const MOST_PATH_BYTES = 4095;
const MOST_NAME_BYTES = 255;

/**
 * The names that a path of a stream is made of; none for the subvolume itself. `what` is how a message calls the path.
 * Throws for all that the kernel never sends and that leads elsewhere: absolute, `..`, `.`, an empty name, a NUL (receive would stop
 * reading there).
 */
export function parsePath(what: string, path: string): readonly string[] {
  if (path === '') return [];
  if (path.includes('\0')) refuse(`${what} ${quoted(path)} has a NUL in it`);
  if (path.length > MOST_PATH_BYTES) refuse(`${what} ${quoted(path)} is longer than ${MOST_PATH_BYTES} bytes`);
  if (path.startsWith('/')) refuse(`${what} ${quoted(path)} is absolute`);
  const names = path.split('/');
  for (const name of names) {
    if (name === '') refuse(`${what} ${quoted(path)} has an empty name in it`);
    if (name === '.' || name === '..') refuse(`${what} ${quoted(path)} has "${name}" in it`);
    if (name.length > MOST_NAME_BYTES)
      refuse(`${what} ${quoted(path)} has a name of more than ${MOST_NAME_BYTES} bytes`);
  }
  return names;
}

/** What one line of a list can't show as it is, and bytes that are no UTF-8. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\ufffd]/u;

/** The name of the subvolume of a stream: one name, nothing else, that `btrfs subvolume list` shows as it is. */
export function parseSubvolumeName(path: string): string {
  const [name, ...more] = parsePath('the name of the subvolume', path);
  if (name === undefined || more.length > 0)
    refuse(`the name of the subvolume ${quoted(path)} is not one name in a directory`);
  if (UNPRINTABLE.test(Buffer.from(name, 'latin1').toString('utf8')))
    refuse(`the name of the subvolume ${quoted(path)} can't be shown on one line; send one with another name`);
  return name;
}
