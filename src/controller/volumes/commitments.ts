import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { parseQuantity, roundUpToSector } from '../../api/quantity.ts';

interface Commitment {
  readonly nodeName: string;
  readonly bytes: number;
  /** Decided by this process and not yet seen in the cache. */
  readonly isAssumed: boolean;
}

/** How much of each node's capacity is given away: by what the cache shows, and by decisions that it does not show yet. */
export interface Commitments {
  /** The cache shows the volume so. */
  observe(key: string, volume: LoopbackVolume): void;
  /** The volume is being placed: counts from now on, until the cache shows it or {@link release}. */
  assume(key: string, nodeName: string, bytes: number): void;
  /** The placing failed; what the cache has shown stays. */
  release(key: string): void;
  /** The volume is gone. */
  forget(key: string): void;
  isAssumed(key: string): boolean;
  bytesOn(nodeName: string): number;
}

export function createCommitments(): Commitments {
  const byVolume = new Map<string, Commitment>();
  const byNode = new Map<string, number>();
  const add = (nodeName: string, bytes: number) => byNode.set(nodeName, (byNode.get(nodeName) ?? 0) + bytes);
  const forget = (key: string) => {
    const commitment = byVolume.get(key);
    if (commitment === undefined) return;
    byVolume.delete(key);
    add(commitment.nodeName, -commitment.bytes);
  };
  const commit = (key: string, commitment: Commitment) => {
    forget(key);
    byVolume.set(key, commitment);
    add(commitment.nodeName, commitment.bytes);
  };
  const isAssumed = (key: string) => byVolume.get(key)?.isAssumed === true;
  return {
    observe(key, volume) {
      const nodeName = volume.status.nodeName;
      if (nodeName !== undefined) commit(key, { nodeName, bytes: committedBytesOf(volume), isAssumed: false });
    },
    assume: (key, nodeName, bytes) => commit(key, { nodeName, bytes, isAssumed: true }),
    release(key) {
      if (isAssumed(key)) forget(key);
    },
    forget,
    isAssumed,
    bytesOn: (nodeName) => byNode.get(nodeName) ?? 0,
  };
}

/** What the volume may grow to, or still has if it could not be shrunk to that. */
export function committedBytesOf({ spec, status }: LoopbackVolume): number {
  return Math.max(sizeBytesOf(spec), status.sizeBytes ?? 0);
}

/** spec.size in bytes, rounded up as the image will be. */
export function sizeBytesOf(spec: LoopbackVolume['spec']): number {
  return roundUpToSector(parseQuantity(spec.size));
}
