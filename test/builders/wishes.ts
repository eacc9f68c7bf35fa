import type { HostFacts, Memory } from '../../src/agent/volumes/decide.ts';
import type { Wish } from '../../src/agent/volumes/wish.ts';
import type { VolumeSettings } from '../../src/storage/volumes/format.ts';

export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

/** What a spec asks for that says nothing but its size. */
export const settings: VolumeSettings = {
  label: '',
  owner: { uid: 0, gid: 0, mode: '0755' },
  metadataProfile: 'single',
  compression: 'zstd:3',
  discard: 'Async',
  durability: 'Full',
  content: 'Empty',
};

/** A mounted volume of 1 GiB. */
export function wishWith(parts: Partial<Wish> = {}): Wish {
  return {
    settings,
    sizeBytes: GIB,
    mounted: true,
    minimize: undefined,
    exportFile: undefined,
    adopt: undefined,
    ...parts,
  };
}

/** A node with much room. */
export function hostWith(parts: Partial<HostFacts> = {}): HostFacts {
  return { pressure: undefined, growthBytes: 1000 * GIB, ...parts };
}

/** A process that has just started. */
export function memoryWith(parts: Partial<Memory> = {}): Memory {
  return {
    refusedOptions: [],
    refusedShrink: undefined,
    unhealed: undefined,
    tuneFailed: false,
    refusedFill: undefined,
    hadData: false,
    ...parts,
  };
}
