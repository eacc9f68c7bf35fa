import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface DownloadServer extends AsyncDisposable {
  readonly port: number;
  /** `https://127.0.0.1:<port>`. */
  readonly url: string;
  readonly caPem: string;
  /** What was asked for: method, path and `Host`. */
  readonly requests: string[];
  /** What is served, by path without query. */
  readonly answers: Map<string, Answer>;
}

/** An https server on loopback for `127.0.0.1`, `localhost` and `files.example`, with a certificate of its own. */
export async function startDownloadServer(): Promise<DownloadServer> {
  const { key, cert } = selfSigned();
  const answers = new Map<string, Answer>();
  const requests: string[] = [];
  const server = createServer({ key, cert }, (request, response) => {
    requests.push(`${request.method} ${request.url} ${request.headers.host}`);
    const { pathname } = new URL(request.url ?? '', 'https://any');
    const answer = answers.get(pathname);
    if (answer === undefined) response.writeHead(404).end();
    else answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `https://127.0.0.1:${port}`,
    caPem: cert,
    requests,
    answers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An answer of status 200 with this body and its length. */
export function content(body: Buffer | string): Answer {
  return (_request, response) => {
    response.writeHead(200, { 'content-length': Buffer.byteLength(body) }).end(body);
  };
}

export function redirect(location: string, status = 302): Answer {
  return (_request, response) => {
    response.writeHead(status, { location }).end('moved');
  };
}

function selfSigned(): { readonly key: string; readonly cert: string } {
  const dir = mkdtempSync(path.join(tmpdir(), 'https-'));
  try {
    const names = 'subjectAltName=DNS:localhost,DNS:files.example,IP:127.0.0.1';
    const words = 'req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=files -addext';
    execFileSync('openssl', [...words.split(' '), names], { cwd: dir, stdio: 'pipe' });
    const read = (name: string) => readFileSync(path.join(dir, name), 'utf8');
    return { key: read('key.pem'), cert: read('cert.pem') };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
