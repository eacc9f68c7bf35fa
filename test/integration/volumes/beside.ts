import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { conditionOf, type Lab } from '../lab.ts';
import type { Writer } from './writer.ts';

export interface Beside {
  /** The volume when it had the size, or said that it has to wait for a quiet moment. */
  readonly first: LoopbackVolume;
  /** The volume with its size: reached beside the writer, else by itself while the writer paused. */
  readonly settled: LoopbackVolume;
}

/** Changes the spec of a volume that is being written to, and lets the writer pause only if the volume waits for that. */
export async function changeBeside(
  lab: Lab,
  writer: Writer,
  name: string,
  spec: Record<string, unknown>,
): Promise<Beside> {
  const { metadata } = await lab.change(name, spec);
  const reasonOf = (volume: LoopbackVolume) => {
    const resized = conditionOf(volume, 'Resized');
    return resized !== undefined && resized.observedGeneration === metadata.generation ? resized.reason : undefined;
  };
  const isReached = (volume: LoopbackVolume) => reasonOf(volume) === 'SizeReached';
  const first = await lab.volumeThat(name, (now) => isReached(now) || reasonOf(now) === 'BusyVolume', 120_000);
  if (isReached(first)) return { first, settled: first };
  writer.pause();
  try {
    return { first, settled: await lab.volumeThat(name, isReached, 120_000) };
  } finally {
    writer.resume();
  }
}
