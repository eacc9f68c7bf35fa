import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** Of `performance.now()`. */
  readonly atMs: number;
}

/** What the server does with one request. */
export type Answer = (response: ServerResponse, request: ReceivedRequest) => void | Promise<void>;

/** An HTTPS server that speaks as the API server on a bad day: each request gets the next scripted answer. */
export interface MisbehavingServer extends AsyncDisposable {
  readonly url: string;
  /** A kubeconfig with the server's certificate and the token `secret` in files beside it. */
  readonly kubeconfigPath: string;
  readonly dir: string;
  readonly received: readonly ReceivedRequest[];
  /** TCP connections accepted so far. */
  readonly connections: number;
  readonly openConnections: number;
  /** Appends answers; a request that nobody scripted gets the last one again. */
  script(...answers: readonly Answer[]): void;
  /**
   * Makes a new certificate and goes on with it at the same address; connections stay, and the kubeconfig has the old
   * one.
   */
  rotateCertificate(): Promise<void>;
  /** Puts the certificate in use into the kubeconfig's CA file. */
  publishCertificate(): Promise<void>;
}

export async function startMisbehavingServer(): Promise<MisbehavingServer> {
  const dir = await mkdtemp(path.join(tmpdir(), 'misbehaving-server-'));
  const received: ReceivedRequest[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const answers: Answer[] = [];
  // As the API server offers it, but HTTP/2 is not spoken here: a client that takes the offer fails every test.
  const alpn = { ALPNProtocols: ['h2', 'http/1.1'] };
  const server = createServer({ ...(await makeCertificate(dir)), ...alpn }, async (incoming, response) => {
    const request = await receive(incoming);
    received.push(request);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    await (answer ?? refuse(500))(response, request);
  });
  server.on('connection', (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  const publishCertificate = () => copyFile(path.join(dir, 'tls.crt'), path.join(dir, 'ca.crt'));
  await publishCertificate();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    dir,
    received,
    kubeconfigPath: await writeKubeconfig(dir, url),
    get connections() {
      return connections;
    },
    get openConnections() {
      return sockets.size;
    },
    script: (...more) => void answers.push(...more),
    rotateCertificate: async () => server.setSecureContext(await makeCertificate(dir)),
    publishCertificate,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function receive(incoming: IncomingMessage): Promise<ReceivedRequest> {
  const atMs = performance.now();
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const { pathname, searchParams } = new URL(incoming.url ?? '/', 'https://server');
  const body = Buffer.concat(chunks).toString();
  return { method: incoming.method ?? '', path: pathname, query: searchParams, headers: incoming.headers, body, atMs };
}

async function makeCertificate(dir: string): Promise<{ key: Buffer; cert: Buffer }> {
  const [keyPath, certPath] = [path.join(dir, 'tls.key'), path.join(dir, 'tls.crt')];
  const names = ['-subj', '/CN=misbehaving-server', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyPath];
  execFileSync('openssl', ['req', '-x509', '-days', '1', ...key, '-out', certPath, ...names], { stdio: 'pipe' });
  return { key: await readFile(keyPath), cert: await readFile(certPath) };
}

async function writeKubeconfig(dir: string, server: string): Promise<string> {
  const kubeconfigPath = path.join(dir, 'kubeconfig');
  const tokenFile = path.join(dir, 'token');
  await writeFile(tokenFile, 'secret\n');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': 'ca.crt' } }],
    users: [{ name: 'test', user: { 'auth-provider': { name: 'tokenFile', config: { tokenFile } } } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace: 'team-a' } }],
  };
  await writeFile(kubeconfigPath, JSON.stringify(config));
  return kubeconfigPath;
}

/** A JSON body. */
export function respond(body: unknown, code = 200): Answer {
  return (response) => void response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** A Status of Failure, as the API server sends it. */
export function refuse(
  code: number,
  options: { retryAfterS?: number; reason?: string; message?: string } = {},
): Answer {
  const { retryAfterS, reason = '', message = 'no' } = options;
  return (response) => {
    if (retryAfterS !== undefined) response.setHeader('retry-after', String(retryAfterS));
    response.writeHead(code, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, reason, message }));
  };
}

/** The connection is cut without an answer. */
export function reset(): Answer {
  return (response) => void response.socket?.destroy();
}

/** Nothing at all comes back, and the connection stays. */
export function silence(): Answer {
  return () => {};
}

export type StreamEnd = 'open' | 'close' | 'reset';

/** A watch that sends these events and then stays open and silent, ends properly, or is cut. */
export function stream(events: readonly unknown[], end: StreamEnd = 'open'): Answer {
  return async (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const event of events) response.write(`${JSON.stringify(event)}\n`);
    if (end === 'close') response.end();
    // What was written has to arrive before the cut.
    if (end === 'reset') setTimeout(() => response.socket?.destroy(), 20);
  };
}
