import { isTrue } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { formatBytes, parseQuantity } from '../../api/quantity.ts';

/** Says, once where the spec stays as it is, that a size between two sectors is rounded up; undefined if it was said or is not so. */
export function roundingOf({ spec, status, metadata }: LoopbackVolume, sizeBytes: number): string | undefined {
  const asked = parseQuantity(spec.size);
  const told = status.observedGeneration === metadata.generation && isTrue(status.conditions, 'Ready');
  if (asked === sizeBytes || status.sizeBytes === sizeBytes || told) return undefined;
  return `spec.size ${spec.size} is ${asked} bytes, rounded up to ${sizeBytes} (${formatBytes(sizeBytes)}), a multiple of 4096`;
}
