import { formatTime } from '../../api/conditions.ts';
import type { Clock } from '../../runtime/clock.ts';
import { createProgressWriter, type ProgressWriter } from '../progress-writer.ts';
import type { Transfer } from './options.ts';

interface TransferListener {
  readonly write: (transfer: Transfer) => Promise<void>;
  /** Bytes have come. */
  readonly onMoved: () => void;
}

/** Writes how much of a transfer has come, and how fast. */
export function createTransferProgress(clock: Clock, { write, onMoved }: TransferListener): ProgressWriter<Transfer> {
  let before: { readonly bytes: number; readonly atMs: number } | undefined;
  const writer = createProgressWriter<Transfer>(clock, async (transfer) => {
    const atMs = clock.monotonicMs();
    const bytes = transfer.bytes ?? 0;
    const rate = before === undefined ? undefined : Math.round(((bytes - before.bytes) * 1000) / (atMs - before.atMs));
    before = { bytes, atMs };
    const updatedAt = formatTime(clock.now());
    await write({ ...transfer, updatedAt, ...(rate === undefined ? {} : { bytesPerSecond: rate }) });
  });
  let bytes = 0;
  return {
    on(transfer) {
      if ((transfer.bytes ?? 0) > bytes) onMoved();
      bytes = transfer.bytes ?? 0;
      writer.on(transfer);
    },
    end: writer.end,
  };
}
