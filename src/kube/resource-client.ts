import { ApiError, isGone, isNotFound } from './errors.ts';
import { keyOf, type ObjectMeta } from './object.ts';
import { collectionPath, objectPath } from './resource-path.ts';
import type { ResourceType } from './resource-type.ts';
import {
  APPLY_PATCH,
  JSON_PATCH,
  MERGE_PATCH,
  type Query,
  type Transport,
  type TransportRequest,
} from './transport.ts';

/** Objects a page of a list holds: 12 MB of 5,000 objects never stand in memory at once. */
export const PAGE_SIZE = 500;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Deadline of each try in milliseconds; 30,000 if absent. */
  readonly timeoutMs?: number | undefined;
  /** How often a refusal with Retry-After is tried again; 3 if absent. */
  readonly maxRetries?: number | undefined;
  /** Which connections it goes over; those of `requests` if absent. */
  readonly pool?: TransportRequest['pool'];
}

export interface ListOptions extends CallOptions {
  /** All namespaces if absent. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ApplyOptions extends CallOptions {
  readonly fieldManager: string;
  /**
   * Takes fields over from other managers instead of failing with a conflict; true if absent, as controllers should.
   */
  readonly force?: boolean;
}

export interface PatchOptions extends CallOptions {
  /** RFC 7386 merge patch or RFC 6902 JSON patch. */
  readonly type: 'merge' | 'json';
  readonly subresource?: string;
  readonly fieldManager?: string;
}

export interface DeleteOptions extends CallOptions {
  /** Deletes only if the object still has this uid; else throws a conflict. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
}

/** What is sent: the name and whatever else is to be set; `apiVersion` and `kind` are filled in. */
export interface Draft {
  readonly metadata: Partial<ObjectMeta> & Pick<ObjectMeta, 'name'>;
}

/** Typed calls for one kind; keys are `namespace/name` or `name`. Throws {@link ApiError}, or what `parse` throws. */
export interface ResourceClient<T> {
  /** From the server, not from a cache; undefined if there is none. */
  get(key: string, options?: CallOptions): Promise<T | undefined>;
  /** All pages. One object that can't be parsed fails the call: a list that silently lacks objects lies. */
  list(options?: ListOptions): Promise<T[]>;
  create<D extends Draft>(object: D, options?: CallOptions): Promise<T>;
  /** PUT; a conflict if the object's resourceVersion is no longer the current one. */
  update<D extends Draft>(object: D, options?: CallOptions): Promise<T>;
  /**
   * Server-side apply: the fields given are ours, those given before and no longer are removed. Changes nothing if
   * nothing differs.
   */
  apply<D extends Draft>(object: D, options: ApplyOptions): Promise<T>;
  /** {@link apply} on the status subresource. */
  applyStatus<D extends Draft>(object: D, options: ApplyOptions): Promise<T>;
  patch(key: string, patch: unknown, options: PatchOptions): Promise<T>;
  /** Asks for deletion; one that is gone already is fine. */
  delete(key: string, options?: DeleteOptions): Promise<void>;
}

export function createResourceClient<T>(transport: Transport, type: ResourceType<T>): ResourceClient<T> {
  return new RestClient(transport, type);
}

class RestClient<T> implements ResourceClient<T> {
  readonly #transport: Transport;
  readonly #type: ResourceType<T>;

  constructor(transport: Transport, type: ResourceType<T>) {
    this.#transport = transport;
    this.#type = type;
  }

  async get(key: string, options: CallOptions = {}): Promise<T | undefined> {
    try {
      const path = objectPath(this.#type, key);
      return this.#type.parse(await this.#transport.request({ method: 'GET', path, ...callOf(options) }));
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list(options: ListOptions = {}): Promise<T[]> {
    try {
      return await this.#listPages(options, PAGE_SIZE);
    } catch (error) {
      // The continue token outlived its snapshot (5 min); one large answer can't.
      if (isGone(error)) return await this.#listPages(options, undefined);
      throw error;
    }
  }

  async #listPages(options: ListOptions, limit: number | undefined): Promise<T[]> {
    const objects: T[] = [];
    for await (const page of listPages(this.#transport, this.#type, options, limit)) {
      for (const item of page.items) objects.push(this.#type.parse(item));
    }
    return objects;
  }

  async create<D extends Draft>(object: D, options: CallOptions = {}): Promise<T> {
    const path = collectionPath(this.#type, object.metadata.namespace);
    const body = this.#complete(object);
    return this.#type.parse(await this.#transport.request({ method: 'POST', path, body, ...callOf(options) }));
  }

  async update<D extends Draft>(object: D, options: CallOptions = {}): Promise<T> {
    const path = objectPath(this.#type, keyOf(object));
    const body = this.#complete(object);
    return this.#type.parse(await this.#transport.request({ method: 'PUT', path, body, ...callOf(options) }));
  }

  async apply<D extends Draft>(object: D, options: ApplyOptions): Promise<T> {
    return await this.#apply(object, options, undefined);
  }

  async applyStatus<D extends Draft>(object: D, options: ApplyOptions): Promise<T> {
    return await this.#apply(object, options, 'status');
  }

  async #apply(object: Draft, options: ApplyOptions, subresource: string | undefined): Promise<T> {
    const path = objectPath(this.#type, keyOf(object), subresource);
    const query = { fieldManager: options.fieldManager, force: options.force ?? true };
    return await this.#patch(path, this.#complete(object), APPLY_PATCH, query, options);
  }

  async patch(key: string, patch: unknown, options: PatchOptions): Promise<T> {
    const path = objectPath(this.#type, key, options.subresource);
    const contentType = options.type === 'merge' ? MERGE_PATCH : JSON_PATCH;
    return await this.#patch(path, patch, contentType, { fieldManager: options.fieldManager }, options);
  }

  async #patch(path: string, body: unknown, contentType: string, query: Query, options: CallOptions): Promise<T> {
    const answer = await this.#transport.request({
      method: 'PATCH',
      path,
      query,
      body,
      contentType,
      ...callOf(options),
    });
    return this.#type.parse(answer);
  }

  async delete(key: string, options: DeleteOptions = {}): Promise<void> {
    const { uid, resourceVersion, propagationPolicy } = options;
    const body = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      propagationPolicy,
      preconditions: { uid, resourceVersion },
    };
    try {
      const path = objectPath(this.#type, key);
      await this.#transport.request({ method: 'DELETE', path, body, ...callOf(options) });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #complete(object: Draft): object {
    return { ...object, apiVersion: this.#type.apiVersion, kind: this.#type.kind };
  }
}

function callOf(options: CallOptions): CallOptions {
  const { signal, timeoutMs, maxRetries, pool } = options;
  return { signal, timeoutMs, maxRetries, pool };
}

/** One page of a list; `resourceVersion` is that of the whole list. */
export interface Page {
  readonly items: readonly object[];
  readonly resourceVersion: string;
}

/**
 * A list page by page, items as raw JSON with apiVersion and kind filled in. Throws an ApiError that `isGone` if it
 * took too long.
 */
export async function* listPages(
  transport: Transport,
  type: ResourceType<unknown>,
  options: ListOptions,
  limit: number | undefined,
): AsyncGenerator<Page> {
  const path = collectionPath(type, options.namespace);
  const { labelSelector, fieldSelector } = options;
  let token: string | undefined;
  do {
    const query = { labelSelector, fieldSelector, limit, continue: token };
    const raw = await transport.request({ method: 'GET', path, query, ...callOf(options) });
    const list = raw as { items?: unknown; metadata?: { continue?: string; resourceVersion?: string } } | undefined;
    if (!Array.isArray(list?.items)) throw new ApiError(0, 'InvalidResponse', `GET ${path}: the answer is no list`);
    // Items of a typed list lack both.
    const items = list.items.map((item: object) => ({ ...item, apiVersion: type.apiVersion, kind: type.kind }));
    yield { items, resourceVersion: list.metadata?.resourceVersion ?? '' };
    token = list.metadata?.continue;
  } while (token !== undefined && token !== '');
}
