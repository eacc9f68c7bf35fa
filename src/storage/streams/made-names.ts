import { NameTable } from './name-table.ts';
import { quoted, refuse } from './stream-complaint.ts';

/** What a stream made: a special file is a fifo, a socket or a device. Regular files are not kept. */
export type MadeKind = 'directory' | 'symlink' | 'special file';

/** What the names below the subvolume were before the first command. */
export type Baseline = 'empty' | 'parent';

/** Codes of what a name is; `unknown`: the parent had it; it is kept for what the stream made below it. */
const KINDS = [undefined, 'directory', 'symlink', 'special file', 'unknown'] as const;
/** A value of the table is a number of its own for what holds names, and the code of what it is. */
const CODES = 8;
const MOST_HOLDERS = 2 ** 32 / CODES - 1;
/** Number of the subvolume itself. */
const ROOT = 0;

/**
 * Which names of the subvolume are directories, symlinks and special files of the stream, as it makes, renames and removes
 * them. It is right as long as receive ends at its first error, as it does by default: then each command did what it says.
 *
 * On the baseline `empty` a path that goes through anything but a directory of the stream is refused. On `parent` the
 * names that the parent had are not known: a path may go through them, but not through a symlink or a special file of the stream.
 *
 * Memory: 16 to 32 bytes a name, however long.
 */
export class MadeNames {
  readonly #baseline: Baseline;
  readonly #maxBytes: number;
  readonly #table: NameTable;
  #lastHolder = ROOT;

  constructor(baseline: Baseline, maxBytes: number) {
    this.#baseline = baseline;
    this.#maxBytes = maxBytes;
    this.#table = new NameTable(maxBytes);
  }

  /** What a path is, `unknown` for regular files and what the parent had. Throws when it goes through what is no directory. */
  kindOf(path: readonly string[]): MadeKind | 'unknown' {
    return path.length === 0 ? 'directory' : (kindOf(this.#find(path)) ?? 'unknown');
  }

  /** Throws when a name of the stream stands in the way, or when there are too many. */
  make(path: readonly string[], kind: MadeKind): void {
    this.refuseExisting(path);
    this.#put(path, this.#valueFor(kind));
  }

  refuseExisting(path: readonly string[]): void {
    if (path.length === 0 || this.#find(path) !== 0) refuse(`${shown(path)} is there already`);
  }

  remove(path: readonly string[]): void {
    refuseRoot(path);
    const holder = this.#holderOf(path);
    if (holder !== undefined) this.#table.delete(holder, lastOf(path));
  }

  /** A rename: what lies below goes along. */
  move(from: readonly string[], to: readonly string[]): void {
    refuseRoot(from);
    // NOTE: a rename between two hard links of one symlink succeeds and does nothing; the kernel never sends one onto another name.
    this.refuseExisting(to);
    if (from.length < to.length && from.every((name, index) => name === to[index]))
      refuse(`${shown(from)} would be moved into itself`);
    const value = this.#find(from);
    if (value === 0) return;
    this.remove(from);
    this.#put(to, value);
  }

  /** Value of the name in the table; 0 if the stream did not make it. */
  #find(path: readonly string[]): number {
    const holder = this.#holderOf(path);
    return holder === undefined ? 0 : this.#table.get(holder, lastOf(path));
  }

  /** Number of what holds the last name of a path; undefined when the stream made nothing below it. */
  #holderOf(path: readonly string[]): number | undefined {
    let holder: number | undefined = ROOT;
    for (let depth = 0; depth < path.length - 1; depth++) {
      const value: number = holder === undefined ? 0 : this.#table.get(holder, path[depth] ?? '');
      const kind = kindOf(value) ?? 'unknown';
      if (kind === 'symlink' || kind === 'special file' || (kind === 'unknown' && this.#baseline === 'empty'))
        refuse(`${shown(path)} goes through ${shown(path.slice(0, depth + 1))}, which is no directory of the stream`);
      holder = value === 0 ? undefined : numberOf(value);
    }
    return holder;
  }

  #put(path: readonly string[], value: number): void {
    let holder = ROOT;
    for (const name of path.slice(0, -1)) {
      let known = this.#table.get(holder, name);
      if (known === 0) {
        known = this.#valueFor('unknown');
        this.#set(holder, name, known);
      }
      holder = numberOf(known);
    }
    this.#set(holder, lastOf(path), value);
  }

  #set(holder: number, name: string, value: number): void {
    if (!this.#table.set(holder, name, value) || this.#lastHolder > MOST_HOLDERS)
      refuse(`it makes more directories, symlinks and special files than ${this.#maxBytes} bytes of memory hold`);
  }

  #valueFor(kind: MadeKind | 'unknown'): number {
    const holds = kind === 'directory' || kind === 'unknown';
    if (holds) this.#lastHolder += 1;
    return (holds ? this.#lastHolder : 0) * CODES + KINDS.indexOf(kind);
  }
}

function kindOf(value: number) {
  return KINDS[value % CODES];
}

function numberOf(value: number): number {
  return Math.floor(value / CODES);
}

function lastOf(path: readonly string[]): string {
  return path.at(-1) ?? '';
}

function refuseRoot(path: readonly string[]): void {
  if (path.length === 0) refuse('the subvolume itself cannot be moved or removed');
}

function shown(path: readonly string[]): string {
  return path.length === 0 ? 'the subvolume itself' : quoted(path.join('/'));
}
