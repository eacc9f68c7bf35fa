import { isTrue } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { type LoopbackVolumeReason, loopbackVolumeReasons } from '../../api/reasons.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, settled, settledAfter } from '../../runtime/outcome.ts';
import { finishAdoption } from '../../storage/volumes/adopt.ts';
import { bringDown } from '../../storage/volumes/bring-down.ts';
import { removeVolume } from '../../storage/volumes/remove.ts';
import { isAboutUsers, isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import type { Refusal } from './decide.ts';
import type { VolumeReconcilerOptions } from './options.ts';
import { removalStatusOf } from './status.ts';

/**
 * What the object asked for is gone from the node, or kept if its deletionPolicy says so, and the status says that it is.
 * Resumable at every step. Nothing is destroyed on the word of a cache: the object is read anew first (rule 8).
 */
export async function finalize(
  options: VolumeReconcilerOptions,
  cached: LoopbackVolume,
  signal: AbortSignal,
): Promise<Outcome> {
  const { storage, client, nodeName, events, writer, onUsage } = options;
  const { uid } = cached.metadata;
  const volume = await client.get(keyOf(cached), { signal });
  if (volume === undefined || volume.metadata.uid !== uid || volume.metadata.deletionTimestamp === undefined)
    return settled;
  if (volume.status.nodeName !== nodeName || isTrue(volume.status.conditions, 'Removed')) return settled;

  const dependents = await dependentsOf(options, volume);
  if (dependents !== undefined) {
    const message = `deletion waits for what lives in the volume; delete first: ${dependents}`;
    return await wait(options, volume, { reason: 'HasDependents', message, mendedBy: 'time' });
  }
  const retained = volume.spec.deletionPolicy === 'Retain';
  let step = 'retained';
  try {
    await finishAdoption(storage, uid, signal);
    if (retained) await bringDown(storage, uid, signal);
    else step = await removeVolume(storage, uid, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const outcome = await wait(options, volume, refusalOf(error, loopbackVolumeReasons));
    if (isRetried(error)) throw error;
    return outcome;
  }
  const [reason, message] = retained
    ? (['Retained', 'unmounted and detached; image and record stay on the node'] as const)
    : (['Removed', 'nothing is left of the volume on the node'] as const);
  onUsage(volume, undefined);
  await report(options, volume, 'True', reason, message);
  events.record(volume, 'Normal', reason, 'Delete', message);
  writer.forget(keyOf(volume));
  return settledAfter(step);
}

async function dependentsOf(options: VolumeReconcilerOptions, volume: LoopbackVolume): Promise<string | undefined> {
  const pods = await options.podsUsing(options.storage.layout.volumePath(volume.metadata.uid));
  const named = [...options.dependentsIn(volume), ...(pods.length === 0 ? [] : [`pods ${pods.join(', ')}`])];
  return named.length === 0 ? undefined : named.join('; ');
}

async function wait(options: VolumeReconcilerOptions, volume: LoopbackVolume, refusal: Refusal): Promise<Outcome> {
  await report(options, volume, 'False', refusal.reason, refusal.message);
  options.events.record(volume, 'Warning', refusal.reason, 'Delete', refusal.message);
  return outcomeOf(isAboutUsers(refusal) ? refusal : { ...refusal, mendedBy: 'time' });
}

async function report(
  { writer, clock }: VolumeReconcilerOptions,
  volume: LoopbackVolume,
  status: 'True' | 'False',
  reason: LoopbackVolumeReason,
  message: string,
): Promise<void> {
  await writer.write(volume, removalStatusOf(volume, [status, reason, message], clock.now()));
}
