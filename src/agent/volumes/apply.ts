import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { formatBytes } from '../../api/quantity.ts';
import type { Storage } from '../../storage/context.ts';
import { StorageError } from '../../storage/errors.ts';
import { loadRecord } from '../../storage/records.ts';
import { bringDown } from '../../storage/volumes/bring-down.ts';
import { bringUp } from '../../storage/volumes/bring-up.ts';
import { createImage, restoreStagedImage } from '../../storage/volumes/create.ts';
import { type ExportTarget, exportImage, removeExport } from '../../storage/volumes/export.ts';
import { healReadOnly } from '../../storage/volumes/heal.ts';
import { observePlace, observeVolume } from '../../storage/volumes/observe.ts';
import {
  type MinimizeRequest,
  minimizeVolume,
  type ResizeOptions,
  resizeVolume,
} from '../../storage/volumes/resize.ts';
import { tune } from '../../storage/volumes/tune.ts';
import { timeOperation } from '../time-operation.ts';
import { adopt } from './adopt.ts';
import type { Action } from './decide.ts';
import { fill } from './fill.ts';
import type { VolumeReconcilerOptions } from './options.ts';
import type { Wish } from './wish.ts';

/** What an action changed, for an Event. */
export interface Note {
  readonly reason: string;
  readonly action: string;
  readonly text: string;
}

type ApplyOptions = Required<Pick<ResizeOptions, 'onProgress' | 'onlyWhenQuiet'>> & {
  readonly signal: AbortSignal;
  /** Told that a volume is mounted anew. */
  readonly onUnmount: () => void;
  /** Told how much of the content of spec.source has come. */
  readonly onBytes: (bytes: number) => void;
};

/** Carries out one step by one idempotent verb of storage. */
export async function apply(
  reconciler: VolumeReconcilerOptions,
  volume: LoopbackVolume,
  wish: Wish,
  action: Action,
  options: ApplyOptions,
): Promise<Note> {
  const timed = { operation: action.kind, signal: options.signal, clock: reconciler.clock };
  return await timeOperation(timed, reconciler.onOperation, () => carryOut(reconciler, volume, wish, action, options));
}

async function carryOut(
  reconciler: VolumeReconcilerOptions,
  volume: LoopbackVolume,
  wish: Wish,
  action: Action,
  options: ApplyOptions,
): Promise<Note> {
  const { uid, namespace = '', name, generation = 0 } = volume.metadata;
  const { signal } = options;
  const { storage } = reconciler;
  switch (action.kind) {
    case 'create':
      await createImage(storage, { uid, namespace, name }, wish.sizeBytes);
      if (wish.settings.content === 'Empty') await bringUp(storage, uid, wish.settings, signal);
      return created(`made a sparse image of ${formatBytes(wish.sizeBytes)}`);
    case 'adopt':
      await adopt(reconciler, volume, action.uid, signal);
      return { reason: 'Adopted', action: 'Adopt', text: `took over what was on the node for ${action.uid}` };
    case 'fill':
      await fill(reconciler.content, volume, wish, options);
      return created('the content of spec.source is in the volume, whole');
    case 'export':
      await exportInto(reconciler, volume, await exportTarget(reconciler, volume, action.file, signal), options);
      return { reason: 'Exported', action: 'Export', text: `the image is exported to ${action.file}` };
    case 'remove-export':
      await removeExport(storage, uid, signal);
      return { reason: 'Changed', action: 'Export', text: 'the exported file is removed' };
    case 'restore-image':
      await restoreImage(storage, uid);
      return created('made the image of an interrupted creation anew');
    case 'bring-up':
      await bringUp(storage, uid, wish.settings, signal);
      return { reason: 'Mounted', action: 'Mount', text: `mounted at ${storage.layout.volumePath(uid)}` };
    case 'bring-down':
      await bringDown(storage, uid, signal);
      return { reason: 'Unmounted', action: 'Unmount', text: 'unmounted and detached; the image is kept' };
    case 'heal':
      await healReadOnly(storage, uid, wish.settings, { signal, onUnmount: options.onUnmount });
      return { reason: 'Healed', action: 'Mount', text: 'btrfs had turned the volume read-only; it was mounted anew' };
    case 'tune':
      await tune(storage, uid, wish.settings, signal);
      return { reason: 'Changed', action: 'Change', text: 'label, owner and mount options are as spec says' };
    case 'resize':
      await resizeVolume(storage, uid, action.targetBytes, { ...options, minimizeRequest: wish.minimize?.request });
      return { reason: 'Resized', action: 'Resize', text: `resized to ${formatBytes(action.targetBytes)}` };
    case 'minimize':
      return await minimize(storage, uid, { ...action, generation, limitBytes: wish.sizeBytes }, options);
    case 'rest':
    case 'refuse':
      throw new Error(`nothing to apply for ${action.kind}`);
    default:
      return action satisfies never;
  }
}

async function exportInto(
  { storage, content: { room } }: VolumeReconcilerOptions,
  { metadata: { uid } }: LoopbackVolume,
  target: ExportTarget,
  { signal, onProgress }: ApplyOptions,
): Promise<void> {
  const neededBytes = (await observePlace(storage, uid)).image?.allocatedBytes ?? 0;
  await room.use({ name: uid, into: 'Export', neededBytes, signal }, (given) =>
    exportImage(storage, uid, target, {
      signal: given.signal,
      onProgress(progress) {
        if (progress.phase === 'copying') given.onBytes(progress.movedBytes);
        onProgress(progress);
      },
    }),
  );
}

async function exportTarget(
  { namespaces }: VolumeReconcilerOptions,
  { metadata }: LoopbackVolume,
  file: string,
  signal: AbortSignal,
) {
  const namespace = await namespaces.get(metadata.namespace ?? '', { signal });
  if (namespace !== undefined) return { file, namespaceUid: namespace.metadata.uid };
  throw new StorageError('not-ready', `could not export: there is no namespace ${metadata.namespace}`, {
    reason: 'ExportFailed',
  });
}

function created(text: string): Note {
  return { reason: 'Created', action: 'Create', text };
}

async function restoreImage(storage: Storage, uid: string): Promise<void> {
  const record = await loadRecord(storage.layout, uid);
  if (record !== undefined) await restoreStagedImage(storage, record);
}

async function minimize(storage: Storage, uid: string, wish: MinimizeRequest, options: ApplyOptions): Promise<Note> {
  await minimizeVolume(storage, uid, wish, options);
  const { image } = await observeVolume(storage, uid);
  return { reason: 'Minimized', action: 'Resize', text: `minimized to ${formatBytes(image?.sizeBytes ?? 0)}` };
}

/** The size that a refused shrink is known by. */
export function targetOf(action: Action, { sizeBytes }: Pick<Wish, 'sizeBytes'>): number {
  return action.kind === 'resize' ? action.targetBytes : sizeBytes;
}
