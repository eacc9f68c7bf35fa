import type { Logger } from 'pino';
import { type KubeObject, keyOf, type ObjectMeta } from './object.ts';
import type { ResourceType } from './resource-type.ts';

export type Change<T> =
  | { readonly kind: 'added'; readonly object: T; readonly previous?: undefined }
  | { readonly kind: 'updated'; readonly object: T; readonly previous: T }
  | { readonly kind: 'deleted'; readonly object: T; readonly previous?: T };

export interface ObjectStoreOptions<T> {
  readonly type: ResourceType<T>;
  readonly log: Logger;
  /** Runs after the store has changed. What it throws is logged and stops nothing. */
  readonly onChange: (change: Change<T>) => void;
}

/**
 * The objects of one kind as last seen, and the one place that tells what changed. Takes raw JSON, keeps parsed
 * objects.
 */
export interface ObjectStore<T> {
  get(key: string): T | undefined;
  values(): Iterable<T>;
  readonly size: number;
  /**
   * Takes over a raw object and returns its key; undefined if it has none. One that can't be parsed keeps what was
   * known.
   */
  upsert(raw: unknown): string | undefined;
  remove(raw: unknown): void;
  /** Removes whatever is not among the keys: what a new list no longer has. */
  retain(keys: ReadonlySet<string>): void;
}

export function createObjectStore<T extends KubeObject>(options: ObjectStoreOptions<T>): ObjectStore<T> {
  return new MapStore(options);
}

class MapStore<T extends KubeObject> implements ObjectStore<T> {
  readonly #options: ObjectStoreOptions<T>;
  readonly #objects = new Map<string, T>();
  /** What was said about objects that can't be parsed, so that each is said once. */
  readonly #poisoned = new Map<string, string>();

  constructor(options: ObjectStoreOptions<T>) {
    this.#options = options;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  upsert(raw: unknown): string | undefined {
    const metadata = metadataOf(raw);
    if (metadata === undefined) {
      this.#complain('', 'an object without metadata');
      return undefined;
    }
    const key = keyOf({ metadata });
    const previous = this.#objects.get(key);
    // A new list repeats what is known.
    if (previous !== undefined && isSameVersion(previous.metadata, metadata)) return key;
    // The name was given to another object while nobody looked.
    if (previous !== undefined && previous.metadata.uid !== metadata.uid) this.#delete(key, previous, previous);
    const object = this.#parse(key, raw, metadata);
    if (object !== undefined) this.#set(key, object);
    return key;
  }

  remove(raw: unknown): void {
    const metadata = metadataOf(raw);
    if (metadata === undefined) return;
    const key = keyOf({ metadata });
    const previous = this.#objects.get(key);
    const last = this.#parse(key, raw, metadata);
    this.#poisoned.delete(key);
    if (previous !== undefined) this.#delete(key, last ?? previous, previous);
  }

  retain(keys: ReadonlySet<string>): void {
    for (const [key, previous] of this.#objects) {
      if (!keys.has(key)) this.#delete(key, previous, previous);
    }
    for (const key of this.#poisoned.keys()) {
      if (!keys.has(key)) this.#poisoned.delete(key);
    }
  }

  #set(key: string, object: T): void {
    const previous = this.#objects.get(key);
    this.#objects.set(key, object);
    this.#notify(key, previous === undefined ? { kind: 'added', object } : { kind: 'updated', object, previous });
  }

  #delete(key: string, object: T, previous: T): void {
    this.#objects.delete(key);
    this.#notify(key, { kind: 'deleted', object, previous });
  }

  #parse(key: string, raw: unknown, metadata: { managedFields?: unknown }): T | undefined {
    // Half of an object's size, and nobody here reads it.
    delete metadata.managedFields;
    try {
      const object = this.#options.type.parse(raw);
      this.#poisoned.delete(key);
      return object;
    } catch (error) {
      this.#complain(key, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  #complain(key: string, message: string): void {
    if (this.#poisoned.get(key) === message) return;
    this.#poisoned.set(key, message);
    const { log, type } = this.#options;
    log.error({ kind: type.kind, key, reason: message }, 'object skipped: it cannot be parsed');
  }

  #notify(key: string, change: Change<T>): void {
    const { log, type, onChange } = this.#options;
    const report = (error: unknown) =>
      log.error({ kind: type.kind, key, change: change.kind, err: error }, 'change handler failed');
    try {
      const result: unknown = onChange(change);
      if (result instanceof Promise) result.catch(report);
    } catch (error) {
      report(error);
    }
  }
}

type RawMetadata = Pick<ObjectMeta, 'name' | 'namespace' | 'uid' | 'resourceVersion'> & { managedFields?: unknown };

function metadataOf(raw: unknown): RawMetadata | undefined {
  const metadata = (raw as { metadata?: Partial<RawMetadata> | null } | null | undefined)?.metadata;
  return typeof metadata?.name === 'string' ? (metadata as RawMetadata) : undefined;
}

function isSameVersion(a: ObjectMeta, b: RawMetadata): boolean {
  return a.uid === b.uid && a.resourceVersion === b.resourceVersion;
}
