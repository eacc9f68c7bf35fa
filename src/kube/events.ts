import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { type Clock, systemClock } from './clock.ts';
import { isNotFound } from './errors.ts';
import { createLimiter, type Limiter, RecentMap } from './event-limiter.ts';
import { formatMicroTime, type ObjectMeta } from './object.ts';
import { createResourceClient, type ResourceClient } from './resource-client.ts';
import { type Event, eventType } from './resource-types.ts';
import type { Transport } from './transport.ts';

/** The same event of the same object within so long is one event with a count. */
const DEDUPE_MS = 600_000;
/** A count is written at its first change and then at most so often. */
const SERIES_WRITE_MS = 60_000;
const MAX_QUEUED = 1000;
/** Who stops must not wait for a server that does not answer. */
const FLUSH_MS = 3_000;
/** An event that can't be sent soon isn't worth the wait of those behind it. */
const CALL = { timeoutMs: 10_000, maxRetries: 1 };
/** Limits of the API server (pkg/apis/core/validation/events.go, Kubernetes 1.36). */
const MAX_NOTE_BYTES = 1024;
const MAX_FIELD_LENGTH = 128;
const MAX_NAME_LENGTH = 253;

/** The object an event is about. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Pick<ObjectMeta, 'name' | 'namespace' | 'uid'> & Partial<ObjectMeta>;
}

export interface EventRecorder {
  /**
   * Sends an events.k8s.io/v1 Event in the background; never throws and never waits. Repetitions within 10 minutes
   * become a count; what exceeds 25 events of one object plus one each 300 s is dropped. A note is cut at 1024 bytes.
   */
  record(subject: EventSubject, type: 'Normal' | 'Warning', reason: string, action: string, note: string): void;
  /** Resolves when everything recorded so far was sent or has failed, or after 3 s: what is left then is dropped. */
  flush(): Promise<void>;
}

export interface EventRecorderOptions {
  readonly transport: Transport;
  /** `reportingController`, a qualified name, e.g. `btrfs-operator.io/agent`. */
  readonly controller: string;
  /** `reportingInstance`, e.g. the pod's or node's name. */
  readonly instance: string;
  readonly log: Logger;
  readonly clock?: Clock;
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new QueuedRecorder(options);
}

/** An event that was recorded, and what of it the server has. */
interface Series {
  readonly draft: ReturnType<typeof draftOf>;
  count: number;
  lastObservedAt: Date;
  lastRecordedMs: number;
  lastQueuedMs: number;
  created: boolean;
}

class QueuedRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #events: ResourceClient<Event>;
  readonly #limiter: Limiter;
  readonly #recent = new RecentMap<Series>();
  readonly #queue = new Set<Series>();
  readonly #stopped = new AbortController();
  #sending: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#events = createResourceClient(options.transport, eventType);
    this.#limiter = createLimiter(this.#clock);
  }

  record(subject: EventSubject, type: 'Normal' | 'Warning', reason: string, action: string, note: string): void {
    const nowMs = this.#clock.monotonicMs();
    const id = [subject.metadata.uid, type, reason, action, note].join('\0');
    const known = this.#recent.get(id);
    if (known !== undefined && nowMs - known.lastRecordedMs < DEDUPE_MS) {
      this.#repeat(known, nowMs);
      return;
    }
    const lastObservedAt = this.#clock.now();
    const draft = draftOf(subject, { type, reason, action, note }, this.#options, lastObservedAt);
    const series: Series = {
      draft,
      count: 1,
      lastObservedAt,
      lastRecordedMs: nowMs,
      lastQueuedMs: nowMs,
      created: false,
    };
    if (this.#enqueue(series)) this.#recent.set(id, series);
  }

  async flush(): Promise<void> {
    if (this.#sending === undefined) return;
    const sent = new AbortController();
    const sending = this.#sending.finally(() => sent.abort());
    await Promise.race([sending, this.#clock.sleep(FLUSH_MS, sent.signal)]);
    if (sent.signal.aborted) return;
    this.#queue.clear();
    this.#stopped.abort();
    await sending;
  }

  #repeat(series: Series, nowMs: number): void {
    series.count++;
    series.lastObservedAt = this.#clock.now();
    series.lastRecordedMs = nowMs;
    if (series.count > 2 && nowMs - series.lastQueuedMs < SERIES_WRITE_MS) return;
    series.lastQueuedMs = nowMs;
    this.#enqueue(series);
  }

  #enqueue(series: Series): boolean {
    const { log } = this.#options;
    const { regarding, reason } = series.draft;
    const isFull = this.#queue.size >= MAX_QUEUED;
    if (isFull || !this.#limiter.take(regarding.uid)) {
      log.debug({ object: regarding.name, reason, why: isFull ? 'queue full' : 'too many' }, 'event dropped');
      return false;
    }
    this.#queue.add(series);
    this.#sending ??= this.#sendAll();
    return true;
  }

  async #sendAll(): Promise<void> {
    // Lets the caller go on first.
    await Promise.resolve();
    for (const series of this.#queue) {
      this.#queue.delete(series);
      try {
        await this.#send(series);
      } catch (error) {
        const { regarding, reason } = series.draft;
        this.#options.log.debug({ object: regarding.name, reason, err: error }, 'event not sent');
      }
    }
    this.#sending = undefined;
  }

  async #send(series: Series): Promise<void> {
    const { draft, count, created } = series;
    const call = { ...CALL, signal: this.#stopped.signal };
    const counted = count > 1 ? { count, lastObservedTime: formatMicroTime(series.lastObservedAt) } : undefined;
    if (created) {
      const key = `${draft.metadata.namespace}/${draft.metadata.name}`;
      try {
        await this.#events.patch(key, { series: counted }, { type: 'merge', ...call });
        return;
      } catch (error) {
        // Events live for an hour.
        if (!isNotFound(error)) throw error;
      }
    }
    await this.#events.create({ ...draft, series: counted }, call);
    series.created = true;
  }
}

interface What {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly action: string;
  readonly note: string;
}

function draftOf(subject: EventSubject, what: What, { controller, instance }: EventRecorderOptions, eventTime: Date) {
  const { apiVersion, kind, metadata } = subject;
  const { name, namespace, uid, resourceVersion } = metadata;
  const suffix = `.${randomBytes(8).toString('hex')}`;
  return {
    metadata: {
      name: name.slice(0, MAX_NAME_LENGTH - suffix.length).replace(/[^a-z0-9]+$/, '') + suffix,
      // Where the API server wants the events of cluster-scoped objects.
      namespace: namespace === undefined || namespace === '' ? 'default' : namespace,
    },
    eventTime: formatMicroTime(eventTime),
    reportingController: controller,
    reportingInstance: instance.slice(0, MAX_FIELD_LENGTH),
    type: what.type,
    reason: what.reason.slice(0, MAX_FIELD_LENGTH),
    action: what.action.slice(0, MAX_FIELD_LENGTH),
    note: cutToBytes(what.note, MAX_NOTE_BYTES),
    regarding: { apiVersion, kind, name, namespace, uid, resourceVersion },
  };
}

/** The longest start of the text that has at most so many bytes as UTF-8. */
function cutToBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  // A character cut in half decodes to U+FFFD at the end.
  return bytes
    .subarray(0, maxBytes)
    .toString()
    .replace(/\uFFFD+$/, '');
}
