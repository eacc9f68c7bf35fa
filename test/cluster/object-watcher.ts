import { setTimeout as sleep } from 'node:timers/promises';
import { keyOf, type ObjectMeta } from '../../src/kube/object.ts';
import { createResourceClient } from '../../src/kube/resource-client.ts';
import { collectionPath } from '../../src/kube/resource-path.ts';
import type { ResourceType } from '../../src/kube/resource-type.ts';
import type { Transport } from '../../src/kube/transport.ts';
import { watchEvents } from '../../src/kube/watch.ts';
import { waitFor } from './wait-for.ts';

/** A watch may break or lag: nobody waits for it longer than so. */
const LOOK_ANYWAY_MS = 1_000;

interface Watched {
  readonly metadata: ObjectMeta;
  readonly status?: unknown;
}

/** Waits for objects of one API server; keys are `namespace/name` or `name`. What is returned is read from the server, not from a cache. */
export interface ObjectWatcher {
  /** The object as soon as it is as `is` says; fails with what it was last. */
  that<T extends Watched>(
    type: ResourceType<T>,
    key: string,
    is: (object: T) => boolean,
    timeoutMs?: number,
  ): Promise<T>;
  gone<T extends Watched>(type: ResourceType<T>, key: string, timeoutMs?: number): Promise<void>;
  /** Ends all watches. */
  stop(): void;
}

/** A watch of each kind that is waited for says when to look again: asking all the time costs an eighth of a core for each that waits. */
export function createObjectWatcher(transport: Transport): ObjectWatcher {
  const ended = new AbortController();
  const watches = new Map<string, (key: string) => Promise<unknown>>();
  const changeOf = (type: ResourceType<Watched>) => {
    const watch = watches.get(type.kind) ?? watchChanges(transport, type, ended.signal);
    watches.set(type.kind, watch);
    return watch;
  };
  return {
    async that<T extends Watched>(type: ResourceType<T>, key: string, is: (object: T) => boolean, timeoutMs?: number) {
      const client = createResourceClient(transport, type);
      let last: T | undefined;
      const check = async () => {
        last = await client.get(key);
        return last !== undefined && is(last) ? last : undefined;
      };
      const what = `${type.kind} ${key} as expected`;
      return await waitFor(check, { what, timeoutMs, untilNext: () => changeOf(type)(key) }).catch((cause: unknown) => {
        throw new Error(`last seen: ${JSON.stringify(last?.status)} ${JSON.stringify(last?.metadata)}`, { cause });
      });
    },
    async gone<T extends Watched>(type: ResourceType<T>, key: string, timeoutMs?: number) {
      const client = createResourceClient(transport, type);
      const check = async () => (await client.get(key)) === undefined;
      await waitFor(check, { what: `end of ${type.kind} ${key}`, timeoutMs, untilNext: () => changeOf(type)(key) });
    },
    stop: () => ended.abort(),
  };
}

/** Watches until the signal; what is returned resolves at the next change of the object with this key. */
function watchChanges(
  transport: Transport,
  type: ResourceType<Watched>,
  signal: AbortSignal,
): (key: string) => Promise<unknown> {
  const waiting = new Map<string, PromiseWithResolvers<void>>();
  const watch = async () => {
    const path = collectionPath(type, undefined);
    const common = { transport, path, resourceVersion: undefined, signal };
    while (!signal.aborted) {
      try {
        for await (const { object } of watchEvents({ ...common, inactivityMs: 600_000, onActivity: () => undefined })) {
          const key = keyOf(object as Watched);
          waiting.get(key)?.resolve();
          waiting.delete(key);
        }
      } catch {
        // The server is away, or the watch was too old: looking goes on meanwhile.
      }
      await sleep(LOOK_ANYWAY_MS, undefined, { signal }).catch(() => undefined);
    }
  };
  void watch();
  return (key) => {
    const change = waiting.get(key) ?? Promise.withResolvers<void>();
    waiting.set(key, change);
    return Promise.race([change.promise, sleep(LOOK_ANYWAY_MS, undefined, { ref: false })]);
  };
}
