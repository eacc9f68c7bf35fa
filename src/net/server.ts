import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseAddress } from './address.ts';

/** A listening HTTP server. */
export interface RunningServer {
  /** Where it listens, with the port that it got: `http://127.0.0.1:8081`. */
  readonly url: string;
  /** Stops listening and ends open connections. */
  close(): Promise<void>;
}

/** Something that must hold for a process to be alive or ready: `undefined` if it does, else what is missing, in a few words. */
export interface HealthCheck {
  readonly name: string;
  readonly check: () => string | undefined;
}

export interface HealthServerOptions {
  /** `host:port` or `:port`; port 0 for a free one. */
  readonly address: string;
  readonly ready: readonly HealthCheck[];
  /** None if absent: who answers is alive. Must not depend on anything outside of the process. */
  readonly live?: readonly HealthCheck[];
}

/** Serves /healthz (alive?) and /readyz (fit for work?): 200 or 503, one line of text for each check. Throws if the address can't be had. */
export function startHealthServer(options: HealthServerOptions): Promise<RunningServer> {
  return startServer(options.address, {
    '/healthz': async (response) => answerChecks(response, options.live ?? []),
    '/readyz': async (response) => answerChecks(response, options.ready),
  });
}

/** What /metrics shows. */
export interface MetricsText {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/** Serves /metrics. Throws if the address can't be had. */
export function startMetricsServer(address: string, source: MetricsText): Promise<RunningServer> {
  return startServer(address, {
    '/metrics': async (response) => answer(response, 200, source.contentType, await source.metrics()),
  });
}

type Route = (response: ServerResponse) => Promise<void>;

// A probe or a scrape is one short request; more time is for slow machines, not for slow clients.
const REQUEST_TIMEOUT_MS = 10_000;
const TEXT = 'text/plain; charset=utf-8';

async function startServer(address: string, routes: Readonly<Record<string, Route>>): Promise<RunningServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (route === undefined) return answer(response, 404, TEXT, 'not found\n');
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, TEXT, 'only GET\n');
    route(response).catch(() => answer(response, 500, TEXT, 'failed\n'));
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  const { host, port } = parseAddress(address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new Error(`can't listen on "${address}": ${error.message}`, { cause: error })),
    );
    server.listen(port, host, resolve);
  });
  return {
    url: urlOf(server.address() as AddressInfo),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function urlOf({ address, family, port }: AddressInfo): string {
  if (address === '::' || address === '0.0.0.0') return `http://127.0.0.1:${port}`;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

function answerChecks(response: ServerResponse, checks: readonly HealthCheck[]): void {
  const results = checks.map(({ name, check }) => ({ name, missing: check() }));
  const lines = results.map(({ name, missing }) => (missing === undefined ? `[+] ${name}` : `[-] ${name}: ${missing}`));
  const ok = results.every(({ missing }) => missing === undefined);
  answer(response, ok ? 200 : 503, TEXT, [...lines, ok ? 'ok' : 'not ok', ''].join('\n'));
}

function answer(response: ServerResponse, code: number, contentType: string, text: string): void {
  response.writeHead(code, { 'content-type': contentType }).end(text);
}
