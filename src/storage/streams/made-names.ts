import { quoted, refuse } from './stream-complaint.ts';

/** What a stream made: a special file is a fifo, a socket or a device. Regular files are not kept. */
export type MadeKind = 'directory' | 'symlink' | 'special file';

/** What the names below the subvolume were before the first command. */
export type Baseline = 'empty' | 'parent';

/** About what an entry takes in the heap of V8 besides its name, and the names below it besides themselves (Node 24). */
const ENTRY_BYTES = 120;
const NAMES_BYTES = 300;

interface Entry {
  /** `unknown`: the parent had it; it is kept for what the stream made below it. */
  readonly kind: MadeKind | 'unknown';
  /** Absent while nothing is known below it: an empty Map takes more memory than all the rest. */
  names?: Map<string, Entry>;
}

/**
 * Which names of the subvolume are directories, symlinks and special files of the stream, as it makes, renames and removes
 * them. It is right as long as receive ends at its first error, as it does by default: then each command did what it says.
 *
 * On the baseline `empty` a path that goes through anything but a directory of the stream is refused. On `parent` the
 * names that the parent had are not known: a path may go through them, but not through a symlink or a special file of the stream.
 */
export class MadeNames {
  readonly #baseline: Baseline;
  readonly #maxBytes: number;
  readonly #root = new Map<string, Entry>();
  #bytes = 0;

  constructor(baseline: Baseline, maxBytes: number) {
    this.#baseline = baseline;
    this.#maxBytes = maxBytes;
  }

  /** What a path is, `unknown` for regular files and what the parent had. Throws when it goes through what is no directory. */
  kindOf(path: readonly string[]): MadeKind | 'unknown' {
    return path.length === 0 ? 'directory' : (this.#find(path)?.kind ?? 'unknown');
  }

  /** Throws when a name of the stream stands in the way, or when there are too many. */
  make(path: readonly string[], kind: MadeKind): void {
    this.refuseExisting(path);
    this.#put(path, { kind });
  }

  refuseExisting(path: readonly string[]): void {
    if (path.length === 0 || this.#find(path) !== undefined) refuse(`${shown(path)} is there already`);
  }

  remove(path: readonly string[]): void {
    refuseRoot(path);
    const entry = this.#find(path);
    if (entry === undefined) return;
    this.#holderOf(path)?.delete(lastOf(path));
    this.#charge(-bytesOf(lastOf(path), entry));
  }

  /** A rename: what lies below goes along. */
  move(from: readonly string[], to: readonly string[]): void {
    refuseRoot(from);
    // NOTE: a rename between two hard links of one symlink succeeds and does nothing; the kernel never sends one onto another name.
    this.refuseExisting(to);
    if (from.length < to.length && from.every((name, index) => name === to[index]))
      refuse(`${shown(from)} would be moved into itself`);
    const entry = this.#find(from);
    if (entry === undefined) return;
    this.remove(from);
    this.#put(to, entry);
  }

  #find(path: readonly string[]): Entry | undefined {
    return this.#holderOf(path)?.get(lastOf(path));
  }

  /** The names beside the last one of a path, itself among them; undefined when the stream made none of them. */
  #holderOf(path: readonly string[]): Map<string, Entry> | undefined {
    let names: Map<string, Entry> | undefined = this.#root;
    for (let depth = 0; depth < path.length - 1; depth++) {
      const entry: Entry | undefined = names?.get(path[depth] ?? '');
      const kind = entry?.kind ?? 'unknown';
      if (kind === 'symlink' || kind === 'special file' || (kind === 'unknown' && this.#baseline === 'empty'))
        refuse(`${shown(path)} goes through ${shown(path.slice(0, depth + 1))}, which is no directory of the stream`);
      names = entry?.names;
    }
    return names;
  }

  #put(path: readonly string[], entry: Entry): void {
    let names = this.#root;
    for (const name of path.slice(0, -1)) {
      const entry = names.get(name) ?? this.#added(names, name, { kind: 'unknown' });
      if (entry.names === undefined) this.#charge(NAMES_BYTES);
      entry.names ??= new Map();
      names = entry.names;
    }
    this.#added(names, lastOf(path), entry);
  }

  #added(names: Map<string, Entry>, name: string, entry: Entry): Entry {
    names.set(name, entry);
    this.#charge(bytesOf(name, entry));
    return entry;
  }

  #charge(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#maxBytes)
      refuse(`it makes more directories, symlinks and special files than ${this.#maxBytes} bytes of memory hold`);
  }
}

function bytesOf(name: string, { names }: Entry): number {
  return ENTRY_BYTES + name.length + (names === undefined ? 0 : NAMES_BYTES);
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
