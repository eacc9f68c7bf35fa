import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';

/** What happens to one connection when so many bytes have come from the sender. */
export interface Fault {
  readonly kind: 'cut' | 'corrupt' | 'stall';
  readonly atByte: number;
}

/** The network in front of the transfer port of one node: slow, torn or noisy, as a test wants it. */
export interface TransferProxy extends AsyncDisposable {
  /** Of an agent: it listens behind the proxy, and tells others to come to the proxy. */
  readonly flags: readonly string[];
  /** Each of the next connections gets one. */
  readonly faults: Fault[];
  /** Connections so far. */
  readonly connections: number;
  /** Bytes that passed to the receivers since the last {@link TransferProxy.hold}. */
  readonly passedBytes: number;
  /** From now on only so many bytes pass on each connection, and those that {@link TransferProxy.allow} adds. */
  hold(bytes: number): void;
  allow(bytes: number): void;
  /** Everything passes. */
  release(): void;
}

const PROXY_HOST = '127.0.0.2';
const AGENT_HOST = '127.0.0.1';

/** Listens on a free port of an address of its own; the agent, which may come and go, has the same port on 127.0.0.1. */
export async function startTransferProxy(): Promise<TransferProxy> {
  const valve = createValve();
  const faults: Fault[] = [];
  let connections = 0;
  const open = new Set<Socket>();
  const server: Server = createServer((receiver) => {
    connections++;
    const sender = createConnection({ host: AGENT_HOST, port });
    for (const socket of [sender, receiver]) {
      open.add(socket);
      socket.once('close', () => open.delete(socket)).on('error', () => undefined);
    }
    receiver.pipe(sender);
    receiver.once('close', () => sender.destroy());
    void relay(sender, receiver, valve, faults.shift()).finally(() => sender.destroy());
  });
  server.listen(0, PROXY_HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    flags: [`--transfer-address=${AGENT_HOST}:${port}`, `--transfer-advertise-host=${PROXY_HOST}`],
    faults,
    get connections() {
      return connections;
    },
    get passedBytes() {
      return valve.passedBytes;
    },
    hold: valve.hold,
    allow: valve.allow,
    release: () => valve.allow(Number.POSITIVE_INFINITY),
    async [Symbol.asyncDispose]() {
      valve.allow(Number.POSITIVE_INFINITY);
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function relay(sender: Socket, receiver: Socket, valve: Valve, fault: Fault | undefined): Promise<void> {
  let offset = 0;
  const closed = new Promise((resolve) => receiver.once('close', resolve));
  try {
    for await (const chunk of sender as AsyncIterable<Buffer>) {
      const at = fault === undefined ? -1 : fault.atByte - offset;
      offset += chunk.length;
      const isHit = at >= 0 && at < chunk.length;
      if (isHit && fault?.kind === 'corrupt') chunk.writeUInt8(chunk.readUInt8(at) ^ 0x40, at);
      await valve.pass(offset - chunk.length, chunk.length);
      const whole = !isHit || fault?.kind === 'corrupt';
      if (!receiver.write(whole ? chunk : chunk.subarray(0, at))) {
        await Promise.race([new Promise((resolve) => receiver.once('drain', resolve)), closed]);
      }
      if (isHit && fault?.kind === 'cut') break;
      if (isHit && fault?.kind === 'stall') await closed;
      if (receiver.destroyed) break;
    }
    receiver.end();
  } catch {
    receiver.destroy();
  }
}

type Valve = ReturnType<typeof createValve>;

function createValve() {
  let limit = Number.POSITIVE_INFINITY;
  let passedBytes = 0;
  let opened = Promise.withResolvers<void>();
  return {
    get passedBytes() {
      return passedBytes;
    },
    hold(bytes: number) {
      limit = bytes;
      passedBytes = 0;
    },
    allow(bytes: number) {
      limit += bytes;
      opened.resolve();
      opened = Promise.withResolvers();
    },
    /** Resolves when these bytes at this offset of a connection may pass; a little more than allowed does. */
    async pass(offset: number, bytes: number) {
      while (offset >= limit) await opened.promise;
      passedBytes += bytes;
    },
  };
}
