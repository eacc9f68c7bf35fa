/** Longest text of a stream that a message shows, in characters. */
const MOST_SHOWN = 120;

/**
 * What is wrong with a stream, without where it is: `damaged` when the bytes are not a whole stream (cut, or changed on their way;
 * to fetch it again may help), `refused` when they are and it does what no stream may.
 */
export class StreamComplaint extends Error {
  readonly kind: 'refused' | 'damaged';

  constructor(kind: 'refused' | 'damaged', message: string) {
    super(message);
    this.name = 'StreamComplaint';
    this.kind = kind;
  }
}

/** Throws what `refused` as a {@link StreamComplaint} says. */
export function refuse(message: string): never {
  throw new StreamComplaint('refused', message);
}

/** What is wrong with one path, which may get its real name in a later command. */
export class PathComplaint extends StreamComplaint {
  readonly path: readonly string[];
  readonly #say: (shown: string) => string;

  constructor(path: readonly string[], say: (shown: string) => string) {
    super('refused', say(quoted(path.join('/'))));
    this.path = path;
    this.#say = say;
  }

  /** The same of what was renamed. */
  at(path: readonly string[]): PathComplaint {
    return new PathComplaint(path, this.#say);
  }
}

/** Throws what `refused` as a {@link PathComplaint} says; `say` is given the quoted path. */
export function refusePath(path: readonly string[], say: (shown: string) => string): never {
  throw new PathComplaint(path, say);
}

export function complainOfDamage(message: string): never {
  throw new StreamComplaint('damaged', message);
}

/** A name or path of a stream (bytes as latin1), quoted, on one line, with what a terminal would not show as it is escaped. */
export function quoted(latin1: string): string {
  const text = Buffer.from(latin1.slice(0, 4 * MOST_SHOWN), 'latin1').toString('utf8');
  const shown = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
  return JSON.stringify(shown).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
