import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { keyOf } from '../../kube/object.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Storage } from '../../storage/context.ts';
import { type Glance, glanceAt, readUsage, type Usage } from '../../storage/volumes/glance.ts';
import { isUsageWorthWriting } from './status.ts';

export interface VolumeWatchOptions {
  readonly storage: Storage;
  readonly volumes: () => Iterable<LoopbackVolume>;
  readonly clock: Clock;
  readonly usageIntervalMs: number;
  readonly enqueue: (key: string) => void;
  readonly onUsage: (volume: LoopbackVolume, usage: Usage & { readonly sizeBytes: number }) => void;
}

/**
 * What no watch tells: a mount that is gone, a filesystem that turned read-only, an image that is missing, a volume that
 * filled up. One look costs one mount table and a stat for each volume; no command, nothing on managed mounts.
 */
export function createVolumeWatch(options: VolumeWatchOptions): () => Promise<void> {
  let before: ReadonlyMap<string, Glance> = new Map();
  let usageAtMs = Number.NEGATIVE_INFINITY;
  return async () => {
    const volumes = [...options.volumes()];
    const glances = await glanceAt(
      options.storage,
      volumes.map(({ metadata }) => metadata.uid),
    );
    for (const volume of volumes) {
      const { uid } = volume.metadata;
      if (hasChanged(volume, before.get(uid), glances.get(uid))) options.enqueue(keyOf(volume));
    }
    before = glances;
    const nowMs = options.clock.monotonicMs();
    if (nowMs - usageAtMs < options.usageIntervalMs) return;
    usageAtMs = nowMs;
    await Promise.all(volumes.map((volume) => lookAtUsage(options, volume)));
  };
}

/**
 * Compared with what the status says, so that a change counts however soon it follows another one; an image that was
 * replaced by another file shows only against the look before.
 */
function hasChanged({ status }: LoopbackVolume, before: Glance | undefined, now: Glance | undefined): boolean {
  if (now === undefined) return false;
  const { mountPath, imagePath, mountOptions = [] } = status;
  return (
    now.mounted !== (mountPath !== undefined) ||
    now.readOnly !== mountOptions.includes('ro') ||
    (now.imageInode !== undefined) !== (imagePath !== undefined) ||
    (before !== undefined && before.imageInode !== now.imageInode)
  );
}

async function lookAtUsage({ storage, enqueue, onUsage }: VolumeWatchOptions, volume: LoopbackVolume): Promise<void> {
  const { filesystemUUID, sizeBytes } = volume.status;
  if (filesystemUUID === undefined || sizeBytes === undefined) return;
  const usage = await readUsage(storage, { uid: volume.metadata.uid, filesystemUUID, sizeBytes });
  if (usage === undefined) return;
  onUsage(volume, { ...usage, sizeBytes });
  if (isUsageWorthWriting(volume.status, usage)) enqueue(keyOf(volume));
}
