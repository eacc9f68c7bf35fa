import type { Logger } from 'pino';
import { type Clock, systemClock } from './clock.ts';
import { settledOrAborted } from './deadline.ts';
import { ApiError, isGone } from './errors.ts';
import type { KubeObject } from './object.ts';
import { type Change, createObjectStore, type ObjectStore } from './object-store.ts';
import { pauseUntilReconnect, Reconnecting, type ReconnectTimings, refusesStreamingList } from './reconnect.ts';
import { listPages, PAGE_SIZE } from './resource-client.ts';
import { collectionPath } from './resource-path.ts';
import type { ResourceType } from './resource-type.ts';
import type { Transport } from './transport.ts';
import { endsInitialList, versionOf, type WatchEvent, watchEvents } from './watch.ts';

export interface ReflectorTimings extends ReconnectTimings {
  readonly inactivityMs: number;
}

const DEFAULT_TIMINGS: ReflectorTimings = {
  // Above the period of the server's bookmarks, 60 s.
  inactivityMs: 90_000,
  minBackoffMs: 500,
  // Who can't know that the server is back asks again soon enough.
  maxBackoffMs: 10_000,
  maxEarlyCloseMs: 5_000,
};

/** A watch that lived so long was a good one, and what ends it is no repetition of an earlier failure. */
const SETTLED_WATCH_MS = 5_000;

export interface ReflectorOptions<T> {
  readonly transport: Transport;
  readonly type: ResourceType<T>;
  /** All namespaces if absent. */
  readonly namespace?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly timings?: Partial<ReflectorTimings>;
  /** Runs after the cache has changed. A delete and create under one name are two changes. What it throws is logged. */
  readonly onChange: (change: Change<T>) => void;
}

/** A cache of the objects of one kind that follows the server until it is stopped, whatever the server does. */
export interface Reflector<T> {
  get(key: string): T | undefined;
  values(): Iterable<T>;
  /** True once the cache has held all objects of one instant; stays true. */
  readonly hasSynced: boolean;
  /** Resolves when `hasSynced`. Throws the signal's reason, or an Error if the reflector is stopped first. */
  synced(signal?: AbortSignal): Promise<void>;
  /** When the server was last heard. */
  readonly lastActivityAt: Date;
  /** Milliseconds since the server was last heard (or since the start); above 180,000 something is wrong. */
  readonly idleMs: number;
  /** No change is reported after this resolves. */
  stop(): Promise<void>;
}

/** Starts to list and watch at once. */
export function startReflector<T extends KubeObject>(options: ReflectorOptions<T>): Reflector<T> {
  const reflector = new ListWatcher(options);
  reflector.start();
  return reflector;
}

class ListWatcher<T extends KubeObject> implements Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  readonly #timings: ReflectorTimings;
  readonly #clock: Clock;
  readonly #reconnecting: Reconnecting;
  readonly #store: ObjectStore<T>;
  readonly #stop = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  readonly #path: string;
  #running: Promise<void> = Promise.resolve();
  #hasSynced = false;
  /** Where to go on watching; undefined: list first. */
  #resourceVersion: string | undefined;
  #streamsLists = true;
  #lastActivityAt: Date;
  #lastActivityMs: number;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#timings = { ...DEFAULT_TIMINGS, ...options.timings };
    this.#reconnecting = new Reconnecting(this.#timings);
    this.#clock = options.clock ?? systemClock;
    this.#store = createObjectStore(options);
    this.#path = collectionPath(options.type, options.namespace);
    this.#lastActivityAt = this.#clock.now();
    this.#lastActivityMs = this.#clock.monotonicMs();
    this.#synced.promise.catch(() => {});
  }

  get(key: string): T | undefined {
    return this.#store.get(key);
  }

  values(): Iterable<T> {
    return this.#store.values();
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  get lastActivityAt(): Date {
    return this.#lastActivityAt;
  }

  get idleMs(): number {
    return this.#clock.monotonicMs() - this.#lastActivityMs;
  }

  synced(signal?: AbortSignal): Promise<void> {
    return signal === undefined ? this.#synced.promise : settledOrAborted(this.#synced.promise, signal);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#synced.reject(new Error(`the reflector of ${this.#options.type.plural} is stopped`));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const forget = this.#options.transport.onReconnect(() => this.#reconnecting.startAnew());
    while (!signal.aborted) {
      const delayMs = await this.#follow();
      if (delayMs > 0) await pauseUntilReconnect(this.#options.transport, this.#clock, delayMs, signal);
    }
    forget();
  }

  /** Lists if need be and watches until that ends; returns the pause before the next time. */
  async #follow(): Promise<number> {
    const startedAtMs = this.#clock.monotonicMs();
    let failure: unknown;
    try {
      if (this.#resourceVersion === undefined && !this.#streamsLists) await this.#listInPages();
      await this.#watch();
    } catch (error) {
      failure = error;
    }
    if (this.#stop.signal.aborted) return 0;
    if (this.#clock.monotonicMs() - startedAtMs >= SETTLED_WATCH_MS) this.#reconnecting.startAnew();
    return failure === undefined ? this.#reconnecting.closed() : this.#pauseAfterFailure(failure);
  }

  #pauseAfterFailure(error: unknown): number {
    const { log, type } = this.#options;
    if (this.#resourceVersion === undefined && this.#streamsLists && refusesStreamingList(error)) {
      this.#streamsLists = false;
      log.info({ kind: type.kind, err: error }, 'server refuses streaming lists, listing in pages');
      return 0;
    }
    const { delayMs, relist } = this.#reconnecting.failed(error);
    const { failures } = this.#reconnecting;
    if (relist) this.#resourceVersion = undefined;
    // A kind in which nothing happens may be silent for longer than bookmarks should take.
    const level = error instanceof ApiError && error.reason === 'Silence' ? 'debug' : 'warn';
    log[level]({ kind: type.kind, err: error, relist, failures, delayMs }, 'watch failed');
    return delayMs;
  }

  async #listInPages(): Promise<void> {
    try {
      await this.#readPages(PAGE_SIZE);
    } catch (error) {
      if (!isGone(error)) throw error;
      // The continue token outlived its snapshot (5 min); one large answer can't.
      await this.#readPages(undefined);
    }
  }

  async #readPages(limit: number | undefined): Promise<void> {
    const { transport, type, namespace, labelSelector, fieldSelector } = this.#options;
    const { signal } = this.#stop;
    const seen = new Set<string>();
    let version = '';
    for await (const page of listPages(transport, type, { namespace, labelSelector, fieldSelector, signal }, limit)) {
      signal.throwIfAborted();
      this.#noteActivity();
      for (const item of page.items) this.#upsert(item, seen);
      version = page.resourceVersion;
    }
    this.#finishList(seen, version);
  }

  async #watch(): Promise<void> {
    const { transport, labelSelector, fieldSelector } = this.#options;
    const events = watchEvents({
      transport,
      path: this.#path,
      labelSelector,
      fieldSelector,
      resourceVersion: this.#resourceVersion,
      inactivityMs: this.#timings.inactivityMs,
      signal: this.#stop.signal,
      onActivity: () => this.#noteActivity(),
    });
    const seen = new Set<string>();
    for await (const event of events) {
      this.#stop.signal.throwIfAborted();
      if (this.#resourceVersion === undefined) this.#acceptListed(event, seen);
      else this.#acceptChange(event);
    }
  }

  /** An event of a streaming list; its versions are those of the objects, not the list's, until the list ends. */
  #acceptListed(event: WatchEvent, seen: Set<string>): void {
    if (endsInitialList(event)) this.#finishList(seen, versionOf(event) ?? '');
    else if (event.type === 'DELETED') this.#store.remove(event.object);
    else if (event.type !== 'BOOKMARK') this.#upsert(event.object, seen);
  }

  #acceptChange(event: WatchEvent): void {
    if (event.type === 'DELETED') this.#store.remove(event.object);
    else if (event.type !== 'BOOKMARK') this.#store.upsert(event.object);
    this.#resourceVersion = versionOf(event) ?? this.#resourceVersion;
    this.#reconnecting.startAnew();
  }

  #upsert(raw: unknown, seen: Set<string>): void {
    const key = this.#store.upsert(raw);
    if (key !== undefined) seen.add(key);
  }

  #finishList(seen: Set<string>, version: string): void {
    this.#store.retain(seen);
    seen.clear();
    this.#resourceVersion = version;
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  #noteActivity(): void {
    this.#lastActivityAt = this.#clock.now();
    this.#lastActivityMs = this.#clock.monotonicMs();
  }
}
