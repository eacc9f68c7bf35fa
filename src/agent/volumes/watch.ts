import { type Condition, findCondition } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { keyOf } from '../../kube/object.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Storage } from '../../storage/context.ts';
import { kindsAbove } from '../../storage/device-errors.ts';
import { askDevice, type Glance, glanceAt, readUsage, type Usage } from '../../storage/volumes/glance.ts';
import { isUsageWorthWriting } from './status.ts';

export interface VolumeWatchOptions {
  readonly storage: Storage;
  readonly volumes: () => Iterable<LoopbackVolume>;
  readonly clock: Clock;
  readonly usageIntervalMs: number;
  readonly enqueue: (key: string) => void;
  readonly onUsage: (volume: LoopbackVolume, usage: Usage & { readonly sizeBytes: number }) => void;
}

/** How many devices that nobody uses are asked for an answer at one look, in turn: each costs a process. */
const ASKED_AT_ONCE = 4;
const ASK_EVERY_MS = 4_000;

/**
 * What no watch tells: a mount that is gone, a filesystem that turned read-only, an image that is missing or was cut, a device that
 * does not answer or fails, a volume that filled up. One look costs one mount table and a few small files for each volume, and touches
 * nothing on managed mounts. True when the next look should come soon, because something waits for a device.
 */
export function createVolumeWatch(options: VolumeWatchOptions): () => Promise<boolean> {
  let before: ReadonlyMap<string, Glance> = new Map();
  let usageAtMs = Number.NEGATIVE_INFINITY;
  let askedAtMs = Number.NEGATIVE_INFINITY;
  let turn = 0;
  const askIdle = (glances: ReadonlyMap<string, Glance>, nowMs: number): boolean => {
    if (nowMs - askedAtMs < ASK_EVERY_MS) return false;
    askedAtMs = nowMs;
    const idle = [...glances].filter(([, { isIdle, isStuck }]) => isIdle && !isStuck).map(([uid]) => uid);
    const from = idle.length === 0 ? 0 : turn % idle.length;
    const asked = [...idle.slice(from), ...idle.slice(0, from)].slice(0, ASKED_AT_ONCE);
    turn += asked.length;
    for (const uid of asked) void askDevice(options.storage, uid);
    return asked.length > 0;
  };
  return async () => {
    const volumes = [...options.volumes()];
    const glances = await glanceAt(
      options.storage,
      volumes.map(({ metadata, status }) => ({ uid: metadata.uid, filesystemUUID: status.filesystemUUID })),
    );
    // What goes is looked at by its removal, which changes all of this itself.
    const staying = volumes.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    for (const volume of staying) {
      const { uid } = volume.metadata;
      if (hasChanged(volume, before.get(uid), glances.get(uid))) options.enqueue(keyOf(volume));
    }
    before = glances;
    const nowMs = options.clock.monotonicMs();
    const isWaiting = askIdle(glances, nowMs) || [...glances.values()].some((glance) => glance.isWaiting);
    if (nowMs - usageAtMs < options.usageIntervalMs) return isWaiting;
    usageAtMs = nowMs;
    await Promise.all(staying.map((volume) => lookAtUsage(options, volume)));
    return isWaiting;
  };
}

/**
 * Compared with what the status says, so that a change counts however soon it follows another one; an image that was
 * replaced by another file, or written anew while nothing has it mounted, shows only against the look before.
 */
function hasChanged({ status }: LoopbackVolume, before: Glance | undefined, now: Glance | undefined): boolean {
  if (now === undefined) return false;
  const { mountPath, imagePath, mountOptions = [], conditions } = status;
  const ready = findCondition(conditions, 'Ready')?.reason;
  return (
    now.mounted !== (mountPath !== undefined) ||
    now.readOnly !== mountOptions.includes('ro') ||
    now.isStuck !== (ready === 'CommandStuck') ||
    (now.image !== undefined) !== (imagePath !== undefined) ||
    (before !== undefined && isOtherImage(before, now)) ||
    hasMoreErrors(before?.deviceErrors ?? {}, now.deviceErrors, conditions)
  );
}

/** More than at the look before, or some of which the volume says nothing. */
function hasMoreErrors(
  before: Glance['deviceErrors'],
  now: Glance['deviceErrors'],
  conditions: readonly Condition[] | undefined,
): boolean {
  const isSaid = findCondition(conditions, 'Damaged') !== undefined;
  return kindsAbove(now, isSaid ? before : {}).length > 0;
}

function isOtherImage(before: Glance, now: Glance): boolean {
  const [was, is] = [before.image, now.image];
  if (was?.inode !== is?.inode || was?.sizeBytes !== is?.sizeBytes) return true;
  return !now.mounted && was?.modifiedAtMs !== is?.modifiedAtMs;
}

async function lookAtUsage({ storage, enqueue, onUsage }: VolumeWatchOptions, volume: LoopbackVolume): Promise<void> {
  const { filesystemUUID, sizeBytes } = volume.status;
  if (filesystemUUID === undefined || sizeBytes === undefined) return;
  const usage = await readUsage(storage, { uid: volume.metadata.uid, filesystemUUID, sizeBytes });
  if (usage === undefined) return;
  onUsage(volume, { ...usage, sizeBytes });
  if (isUsageWorthWriting(volume.status, usage)) enqueue(keyOf(volume));
}
