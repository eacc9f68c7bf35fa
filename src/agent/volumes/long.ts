import { isDeepStrictEqual } from 'node:util';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Place, Places } from '../../runtime/places.ts';
import type { RunningPass } from '../../runtime/reconciler.ts';
import type { VolumeObservation } from '../../storage/volumes/observe.ts';
import type { Action } from './decide.ts';
import { type Wish, wishOf } from './wish.ts';

/** True for steps that may take hours, by the size of the data or by who sends it. To grow takes no time. */
export function isLong(action: Action, { tree }: Pick<VolumeObservation, 'tree'>): boolean {
  if (action.kind === 'resize') return action.targetBytes < (tree?.filesystemSizeBytes ?? 0);
  return action.kind === 'fill' || action.kind === 'export' || action.kind === 'minimize';
}

/** What of a wish such a step serves: while this stays, the step is worth finishing. */
export function servedBy(action: Action, { mounted, minimize, exportFile, sizeBytes }: Wish): unknown {
  switch (action.kind) {
    // The source stays as it is; all else is changed in the filled volume as in any other.
    case 'fill':
      return undefined;
    case 'export':
      return [mounted, exportFile, minimize !== undefined];
    default:
      return [mounted, minimize?.request, sizeBytes];
  }
}

export interface LongStep {
  readonly places: Places;
  readonly volume: LoopbackVolume;
  readonly wish: Wish;
  readonly action: Action;
  /** The volume as it is in the cache. */
  readonly now: () => LoopbackVolume | undefined;
}

/** The pass has a place for a long step, and goes on with it whatever changes but what the step serves. */
export async function enterLong(pass: RunningPass, { places, volume, wish, action, now }: LongStep): Promise<Place> {
  const { namespace = '', uid } = volume.metadata;
  const served = servedBy(action, wish);
  return await pass.moveTo(places, { namespace, within: uid }, () => {
    const volume = now();
    if (volume?.metadata.uid !== uid || volume.metadata.deletionTimestamp !== undefined) return false;
    return isDeepStrictEqual(servedBy(action, wishOf(volume)), served);
  });
}
