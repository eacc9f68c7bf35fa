import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { parseQuantity, roundUpToSector } from '../../api/quantity.ts';
import type { VolumeSettings } from '../../storage/volumes/format.ts';

/** What a spec asks of the node, in the units of storage. */
export interface Wish {
  readonly settings: VolumeSettings;
  /** Upper bound, rounded up to sectors. */
  readonly sizeBytes: number;
  readonly mounted: boolean;
  readonly minimize: { readonly headroomBytes: number; readonly request: string } | undefined;
  /** Name of the file to export the image to. */
  readonly exportFile: string | undefined;
  /** The uid of data on the node that is to be taken over. */
  readonly adopt: string | undefined;
}

export function wishOf({ spec }: LoopbackVolume): Wish {
  const sizeBytes = roundUpToSector(parseQuantity(spec.size));
  const headroomBytes = spec.minimize === undefined ? undefined : parseQuantity(spec.minimize.headroom);
  return {
    settings: {
      label: spec.label ?? '',
      owner: { ...spec.owner, mode: spec.owner.mode.padStart(4, '0') },
      metadataProfile: spec.metadataProfile,
      compression: spec.compression,
      discard: spec.discard,
      durability: spec.durability,
      content: spec.source === undefined || spec.source.adopt !== undefined ? 'Empty' : 'FromSource',
    },
    sizeBytes,
    mounted: spec.mounted,
    // Carried out once for each change of it or of size.
    minimize: headroomBytes === undefined ? undefined : { headroomBytes, request: `${headroomBytes} of ${sizeBytes}` },
    exportFile: spec.export?.file,
    adopt: spec.source?.adopt?.uid,
  };
}
