import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Run } from './command.ts';

/** What the kernel counts of a block device: requests that are done, and those that wait. */
export interface DeviceActivity {
  readonly completed: number;
  readonly inFlight: number;
}

/** Reads the counters of a device, which never waits for it; undefined if there is none. */
export async function readActivity(devicePath: string): Promise<DeviceActivity | undefined> {
  const text = await readFile(`/sys/block/${basename(devicePath)}/stat`, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : parseActivity(text);
}

/** Parses `/sys/block/DEVICE/stat` (Documentation/block/stat.rst): reads, writes, discards and flushes that are done; those that wait. */
function parseActivity(text: string): DeviceActivity {
  const fields = text.trim().split(/\s+/).map(Number);
  const at = (index: number) => fields[index] ?? 0;
  return { completed: at(0) + at(4) + at(11) + at(15), inFlight: at(8) };
}

/** Reads one block of the device, past all caches: it ends when the device answers. */
export async function readBlock(run: Run, devicePath: string): Promise<void> {
  await run({
    file: 'dd',
    args: [`if=${devicePath}`, 'of=/dev/null', 'bs=4096', 'count=1', 'skip=16', 'iflag=direct', 'status=none'],
    timeoutMs: 60_000,
  });
}
