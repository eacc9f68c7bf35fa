import { Agent, request } from 'node:https';

/** How to reach the API server; what a kubeconfig says, as values. */
export interface ApiAccess {
  readonly url: string;
  readonly caPem: string;
  readonly token: string;
}

export interface ApiResponse {
  readonly status: number;
  /** The parsed body, or the text when it is not JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any kind
  readonly body: any;
}

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Sent as JSON (or as is, when a string). */
  readonly body?: unknown;
  /** Default: `application/json`; of a PATCH `application/merge-patch+json`. */
  readonly contentType?: string;
  readonly timeoutMs?: number;
}

const agent = new Agent({ keepAlive: true });

/**
 * One plain HTTPS request to the API server, so that tests look at it by another way than the code under test. Any HTTP
 * status is an answer; throws on a broken connection or when `timeoutMs` (default 10 s) have passed.
 */
export function callApi(access: ApiAccess, path: string, options: ApiRequest = {}): Promise<ApiResponse> {
  const { method = 'GET', body, timeoutMs = 10_000 } = options;
  const contentType = options.contentType ?? (method === 'PATCH' ? 'application/merge-patch+json' : 'application/json');
  const payload = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, access.url),
      {
        method,
        agent,
        ca: access.caPem,
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          authorization: `Bearer ${access.token}`,
          accept: 'application/json',
          // Node.js frames the body of a DELETE only when it is told the length.
          ...(payload === undefined
            ? {}
            : { 'content-type': contentType, 'content-length': Buffer.byteLength(payload) }),
        },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.once('error', reject);
        incoming.once('end', () =>
          resolve({ status: incoming.statusCode ?? 0, body: parseBody(Buffer.concat(chunks).toString('utf8')) }),
        );
      },
    );
    outgoing.once('error', reject);
    outgoing.end(payload);
  });
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
