import { VOLUME_FINALIZER } from '../../api/group.ts';
import type { LoopbackVolume, LoopbackVolumeStatus } from '../../api/loopback-volume.ts';
import { loopbackVolumeConditionTypes, loopbackVolumeReasons } from '../../api/reasons.ts';
import { finishAdoption } from '../../storage/volumes/adopt.ts';
import { bringDown } from '../../storage/volumes/bring-down.ts';
import { removeVolume } from '../../storage/volumes/remove.ts';
import type { RemovalKind, Removed } from '../pass/removal.ts';
import { waitsFor } from '../refusal.ts';
import type { Refusal } from './decide.ts';
import type { VolumeReconcilerOptions } from './options.ts';

/** What is particular when a LoopbackVolume goes: what lives in it goes before, and its image may be kept. */
export function volumeRemoval(options: VolumeReconcilerOptions): RemovalKind<LoopbackVolume> {
  return {
    finalizer: VOLUME_FINALIZER,
    reasons: loopbackVolumeReasons,
    conditionTypes: loopbackVolumeConditionTypes,
    kept: ['CapacityPressure', 'Damaged'],
    blockers: (volume) => blockersOf(options, volume),
    remove: (volume, signal) => remove(options, volume, signal),
    figures: figuresLeft,
  };
}

async function blockersOf(options: VolumeReconcilerOptions, volume: LoopbackVolume): Promise<Refusal | undefined> {
  const pods = await options.podsUsing(options.storage.layout.volumePath(volume.metadata.uid));
  const { named, areGoing } = options.dependentsIn(volume);
  const all = [...named, ...(pods.length === 0 ? [] : [`pods ${pods.join(', ')}`])];
  if (all.length === 0) return undefined;
  return {
    reason: 'HasDependents',
    message: waitsFor('what lives in the volume', all.join('; '), areGoing && pods.length === 0),
    mendedBy: areGoing ? 'time' : 'person',
  };
}

async function remove(
  { storage, onUsage }: VolumeReconcilerOptions,
  volume: LoopbackVolume,
  signal: AbortSignal,
): Promise<Removed> {
  const { uid } = volume.metadata;
  await finishAdoption(storage, uid, signal);
  if (volume.spec.deletionPolicy === 'Retain') {
    await bringDown(storage, uid, signal);
    onUsage(volume, undefined);
    const message = 'unmounted and detached; image and record stay on the node';
    return { step: 'retained', reason: 'Retained', message };
  }
  const step = await removeVolume(storage, uid, signal);
  onUsage(volume, undefined);
  return { step, reason: 'Removed', message: 'nothing is left of the volume on the node' };
}

function figuresLeft({ status }: LoopbackVolume, removed: Removed | undefined): LoopbackVolumeStatus {
  const { conditions: _, progress: __, ...figures } = status;
  if (removed === undefined) return figures;
  if (removed.reason === 'Removed') return {};
  const { filesystemUUID, sizeBytes, hostBytes, imagePath } = figures;
  return { filesystemUUID, sizeBytes, hostBytes, imagePath };
}
