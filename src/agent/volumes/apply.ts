import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { formatBytes } from '../../api/quantity.ts';
import type { Storage } from '../../storage/context.ts';
import { loadRecord } from '../../storage/records.ts';
import { bringDown } from '../../storage/volumes/bring-down.ts';
import { bringUp } from '../../storage/volumes/bring-up.ts';
import { createImage, restoreStagedImage } from '../../storage/volumes/create.ts';
import { healReadOnly } from '../../storage/volumes/heal.ts';
import { observeVolume } from '../../storage/volumes/observe.ts';
import { minimizeVolume, type ResizeOptions, resizeVolume } from '../../storage/volumes/resize.ts';
import { tune } from '../../storage/volumes/tune.ts';
import type { Action } from './decide.ts';
import type { Wish } from './wish.ts';

/** What an action changed, for an Event. */
export interface Note {
  readonly reason: string;
  readonly action: string;
  readonly text: string;
}

/** Carries out one step by one idempotent verb of storage. */
export async function apply(
  storage: Storage,
  volume: LoopbackVolume,
  wish: Wish,
  action: Action,
  options: Required<Pick<ResizeOptions, 'onProgress'>> & { readonly signal: AbortSignal },
): Promise<Note> {
  const { uid, namespace = '', name, generation = 0 } = volume.metadata;
  const { signal } = options;
  switch (action.kind) {
    case 'create':
      await createImage(storage, { uid, namespace, name }, wish.sizeBytes);
      await bringUp(storage, uid, wish.settings, signal);
      return {
        reason: 'Created',
        action: 'Create',
        text: `made and mounted a sparse image of ${formatBytes(wish.sizeBytes)}`,
      };
    case 'restore-image': {
      const record = await loadRecord(storage.layout, uid);
      if (record !== undefined) await restoreStagedImage(storage, record);
      return { reason: 'Created', action: 'Create', text: 'made the image of an interrupted creation anew' };
    }
    case 'bring-up':
      await bringUp(storage, uid, wish.settings, signal);
      return { reason: 'Mounted', action: 'Mount', text: `mounted at ${storage.layout.volumePath(uid)}` };
    case 'bring-down':
      await bringDown(storage, uid, signal);
      return { reason: 'Unmounted', action: 'Unmount', text: 'unmounted and detached; the image is kept' };
    case 'heal':
      await healReadOnly(storage, uid, wish.settings, signal);
      return { reason: 'Healed', action: 'Mount', text: 'btrfs had turned the volume read-only; it was mounted anew' };
    case 'tune':
      await tune(storage, uid, wish.settings, signal);
      return { reason: 'Changed', action: 'Change', text: 'label, owner and mount options are as spec says' };
    case 'resize':
      await resizeVolume(storage, uid, action.targetBytes, { ...options, minimizeRequest: wish.minimize?.request });
      return { reason: 'Resized', action: 'Resize', text: `resized to ${formatBytes(action.targetBytes)}` };
    case 'minimize': {
      const { headroomBytes, request } = action;
      await minimizeVolume(storage, uid, { request, generation, headroomBytes, limitBytes: wish.sizeBytes }, options);
      const { image } = await observeVolume(storage, uid);
      return { reason: 'Minimized', action: 'Resize', text: `minimized to ${formatBytes(image?.sizeBytes ?? 0)}` };
    }
    case 'rest':
    case 'refuse':
      throw new Error(`nothing to apply for ${action.kind}`);
    default:
      return action satisfies never;
  }
}
