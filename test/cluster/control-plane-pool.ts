import { mkdirSync, mkdtempSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import {
  type EquippedCluster,
  type EquippedControlPlane,
  startEquippedControlPlane,
} from './equipped-control-plane.ts';
import { type Inventory, restoreInventory, takeInventory } from './inventory.ts';

export interface ControlPlanePool {
  readonly socketPath: string;
  stop(): Promise<void>;
}

interface Pooled {
  readonly controlPlane: EquippedControlPlane;
  readonly inventory: Inventory;
}

/**
 * Lends equipped control planes, each to one connection of the socket at a time, and starts one when none is free. One that comes back
 * is emptied for the next, which saves the ten CPU seconds of a start; one that can't be emptied is stopped. All are in `dir`.
 */
export async function startControlPlanePool(options: {
  readonly assetsDir: string;
  readonly dir: string;
}): Promise<ControlPlanePool> {
  const idle: Pooled[] = [];
  const sockets = new Map<Socket, Promise<void>>();

  const takeBack = async (pooled: Pooled): Promise<void> => {
    try {
      await restoreInventory(pooled.controlPlane, pooled.inventory);
      idle.push(pooled);
    } catch (error) {
      console.warn(`a control plane is not lent again: ${String(error)}`);
      await pooled.controlPlane.stop();
    }
  };
  const serve = async (socket: Socket): Promise<void> => {
    const closed = new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
    const pooled = idle.pop() ?? (await startPooled(options));
    const { url, caPem, token, kubeconfigPath, auditLogPath } = pooled.controlPlane;
    socket.write(`${JSON.stringify({ url, caPem, token, kubeconfigPath, auditLogPath })}\n`);
    await closed;
    await takeBack(pooled);
    socket.end();
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined).resume();
    const served = serve(socket)
      .catch((error) => void socket.end(`${JSON.stringify({ error: String(error) })}\n`))
      .finally(() => sockets.delete(socket));
    sockets.set(socket, served);
  });
  mkdirSync(options.dir, { recursive: true });
  const socketPath = path.join(options.dir, 'pool.sock');
  await listen(server, socketPath);
  return {
    socketPath,
    async stop() {
      server.close();
      for (const socket of sockets.keys()) socket.destroy();
      await Promise.all(sockets.values());
      await Promise.all(idle.map(({ controlPlane }) => controlPlane.stop()));
    },
  };
}

/** A control plane of the pool behind the socket, until it is disposed of (the next may have it then) or this process ends. */
export async function borrowControlPlane(socketPath: string): Promise<EquippedCluster> {
  const socket = createConnection(socketPath);
  for await (const line of createInterface({ input: socket })) {
    const { error, ...access } = JSON.parse(line);
    if (error !== undefined) throw new Error(error);
    return { ...access, [Symbol.asyncDispose]: () => giveBack(socket) };
  }
  throw new Error('the pool of control planes has ended');
}

async function giveBack(socket: Socket): Promise<void> {
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.resume().end();
  await closed;
}

async function startPooled({ assetsDir, dir }: { assetsDir: string; dir: string }): Promise<Pooled> {
  const own = mkdtempSync(path.join(dir, 'control-plane-'));
  const controlPlane = await startEquippedControlPlane({ assetsDir, dir: own });
  return { controlPlane, inventory: await takeInventory(controlPlane) };
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => server.once('error', reject).listen(socketPath, resolve));
}
