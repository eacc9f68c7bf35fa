import { startDeadline } from './deadline.ts';
import { ApiError, apiErrorOf } from './errors.ts';
import type { Query, Transport } from './transport.ts';

/** The server ends a watch after a random time in this range, so that a fleet's watches don't end together. */
const WATCH_TIMEOUT_S = { min: 240, max: 360 };

/** One line of a watch. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: unknown;
}

export interface WatchOptions {
  readonly transport: Transport;
  readonly path: string;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /**
   * Where to begin; undefined asks for a streaming list: all objects as ADDED, a bookmark that {@link
   * endsInitialList}, then changes.
   */
  readonly resourceVersion: string | undefined;
  /** A stream without a byte for so long is broken off. */
  readonly inactivityMs: number;
  readonly signal: AbortSignal;
  /** Runs with every chunk of bytes. */
  readonly onActivity: () => void;
}

/**
 * The events of one watch; ends when the server ends it. Throws ApiError: the HTTP answer's, the in-stream ERROR
 * event's (without waiting for the server to close), `Timeout` on silence, `InvalidResponse` on a line that is no
 * event; or the signal's reason.
 */
export async function* watchEvents(options: WatchOptions): AsyncGenerator<WatchEvent> {
  const { transport, path, inactivityMs, signal, onActivity } = options;
  using idle = startDeadline(inactivityMs, signal);
  try {
    const chunks = await transport.stream(path, { query: queryOf(options), signal: idle.signal });
    for await (const line of readLines(chunks)) {
      idle.extend();
      onActivity();
      if (line.trim() !== '') yield parseEvent(line, path);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (idle.expired) throw new ApiError(0, 'Silence', `WATCH ${path}: silent for ${inactivityMs / 1000} s`);
    if (error instanceof ApiError) throw error;
    throw new ApiError(0, 'Unreachable', `WATCH ${path}: the connection broke`, { cause: error });
  }
}

function queryOf(options: WatchOptions): Query {
  const { resourceVersion, labelSelector, fieldSelector } = options;
  const { min, max } = WATCH_TIMEOUT_S;
  const timeoutSeconds = Math.round(min + Math.random() * (max - min));
  const common = { watch: 1, allowWatchBookmarks: true, timeoutSeconds, labelSelector, fieldSelector };
  if (resourceVersion !== undefined) return { ...common, resourceVersion };
  return { ...common, sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' };
}

/**
 * The lines of a stream, and '' for a chunk without a line's end. The last line is dropped if the stream ends before
 * its newline.
 */
async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    // The server was heard all the same.
    if (lines.length === 0) yield '';
    yield* lines;
  }
}

/** One line: `{"type":"ADDED","object":{"kind":"Node","apiVersion":"v1",…}}` (Kubernetes 1.36). */
function parseEvent(line: string, path: string): WatchEvent {
  const { type, object } = parseLine(line, path);
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      return { type, object };
    case 'ERROR':
      throw apiErrorOf(`WATCH ${path}`, codeOf(object), object);
    default:
      throw new ApiError(0, 'InvalidResponse', `WATCH ${path}: a line that is no event`);
  }
}

function parseLine(line: string, path: string): { type?: unknown; object?: unknown } {
  try {
    return (JSON.parse(line) ?? {}) as { type?: unknown; object?: unknown };
  } catch (error) {
    throw new ApiError(0, 'InvalidResponse', `WATCH ${path}: a line that is not JSON`, { cause: error });
  }
}

function codeOf(status: unknown): number {
  const code = (status as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'number' ? code : 500;
}

interface Versioned {
  readonly metadata?: {
    readonly resourceVersion?: unknown;
    readonly annotations?: Readonly<Record<string, string>> | null;
  } | null;
}

/** The resource version an event brings the watch to; undefined if it names none. */
export function versionOf(event: WatchEvent): string | undefined {
  const version = (event.object as Versioned | null | undefined)?.metadata?.resourceVersion;
  return typeof version === 'string' && version !== '' ? version : undefined;
}

/** True for the bookmark after the last object of a streaming list. */
export function endsInitialList(event: WatchEvent): boolean {
  if (event.type !== 'BOOKMARK') return false;
  const annotations = (event.object as Versioned | null | undefined)?.metadata?.annotations;
  return annotations?.['k8s.io/initial-events-end'] === 'true';
}
