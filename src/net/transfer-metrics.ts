import { Counter, Gauge, type Registry } from 'prom-client';
import type { TransferHooks } from './transfer-protocol.ts';

/** Adds the metrics of transfers between nodes to the registry. */
export function createTransferMetrics(registry: Registry): Required<TransferHooks> {
  const registers = [registry];
  const bytes = new Counter({
    name: 'btrfs_transfer_bytes_total',
    help: 'Bytes of streams sent to other nodes and received from them.',
    labelNames: ['direction'],
    registers,
  });
  const transfers = new Counter({
    name: 'btrfs_transfers_total',
    help: 'Transfers between nodes by how they ended.',
    labelNames: ['direction', 'outcome'],
    registers,
  });
  const running = new Gauge({
    name: 'btrfs_transfers_sending',
    help: 'Streams that are being sent to other nodes.',
    registers,
  });
  const waiting = new Gauge({
    name: 'btrfs_transfers_waiting',
    help: 'Requests of other nodes that wait for their turn.',
    registers,
  });
  return {
    onBytes: (direction, count) => bytes.inc({ direction }, count),
    onEnd: (direction, outcome) => transfers.inc({ direction, outcome }),
    onLine(state) {
      running.set(state.running);
      waiting.set(state.waiting);
    },
  };
}
