import { formatBytes } from '../../api/quantity.ts';
import type { LoopbackVolumeReason } from '../../api/reasons.ts';
import type { TreeMount, VolumeObservation } from '../../storage/volumes/observe.ts';
import { MIN_RESIZE_BYTES } from '../../storage/volumes/resize.ts';
import { differences } from '../../storage/volumes/tune.ts';
import type { Refusal as AnyRefusal } from '../refusal.ts';
import { isExportDue, isExportOutdated, isMinimizedFirst, refuseFill } from './decide-transfer.ts';
import type { TriedShrink } from './refused.ts';
import type { Wish } from './wish.ts';

export type Refusal = AnyRefusal<LoopbackVolumeReason>;

export type Action =
  | { readonly kind: 'create' | 'restore-image' | 'bring-up' | 'bring-down' | 'heal' | 'tune' | 'rest' }
  | { readonly kind: 'fill' | 'remove-export' }
  /** Take over what is on the node under another uid, or finish doing so. */
  | { readonly kind: 'adopt'; readonly uid: string }
  | { readonly kind: 'export'; readonly file: string }
  | { readonly kind: 'resize'; readonly targetBytes: number }
  | { readonly kind: 'minimize'; readonly headroomBytes: number; readonly request: string }
  | { readonly kind: 'refuse'; readonly refusal: Refusal };

export interface Decision {
  /** The next verb; after it the world is looked at again. */
  readonly action: Action;
  /** A change of size that is not carried out, on a volume that is otherwise fine. */
  readonly resizeRefusal?: Refusal;
  /** Why the image is not exported, on a volume that is otherwise fine. */
  readonly exportRefusal?: Refusal;
}

/** What of the node matters for a volume. */
export interface HostFacts {
  /** Set while the node's filesystem is almost full: the text says how full. */
  readonly pressure: string | undefined;
  /** How much larger the volumes of this node may become in sum, in bytes. */
  readonly growthBytes: number;
}

/** What this process knows that is not on disk. */
export interface Memory {
  /** Mount options that this kernel refused. */
  readonly refusedOptions: readonly string[];
  /** A shrink that was tried in vain and would be again. */
  readonly refusedShrink: TriedShrink | undefined;
  /** Label, owner or mount options could not be changed just now. */
  readonly tuneFailed: boolean;
  /** Why the content of spec.source did not come into the volume, and would not now. */
  readonly refusedFill: Refusal | undefined;
  /** Mounting it anew did not last. */
  readonly unhealed: Refusal | undefined;
  /** The status names a filesystem: there has been data. */
  readonly hadData: boolean;
}

/** The next step from what is there to what is wanted. Pure and total: every pass may be the first one. */
export function decide(wish: Wish, seen: VolumeObservation, host: HostFacts, memory: Memory): Decision {
  const missing = decideMissing(wish, seen, host, memory);
  if (missing !== undefined) return { action: missing };
  if (seen.record?.initialized === false && wish.settings.content === 'FromSource') {
    const refusal = refuseFill(wish, seen, host, memory);
    return { action: refusal === undefined ? { kind: 'fill' } : { kind: 'refuse', refusal } };
  }
  if (isExportOutdated(wish, seen)) return { action: { kind: 'remove-export' } };
  const stranger = refuseStranger(seen);
  const isPutAway = stranger !== undefined || !isMinimizedFirst(wish, seen, memory);
  if (!wish.mounted && seen.record?.initialized === true && isPutAway) return decideUnmounted(wish, seen, host, memory);
  if (stranger !== undefined) return { action: stranger };
  if (seen.tree === undefined || seen.strayDirectory) return { action: { kind: 'bring-up' } };
  return decideMounted({ wish, seen, tree: seen.tree, host, memory });
}

/** What to do without a record or an image; undefined if both are there. */
function decideMissing(wish: Wish, seen: VolumeObservation, host: HostFacts, memory: Memory): Action | undefined {
  if (seen.record === undefined) return decideWithoutRecord(wish, seen, host, memory);
  if (seen.record.adopting !== undefined) return { kind: 'adopt', uid: seen.record.adopting };
  if (seen.image !== undefined) return undefined;
  return seen.record.initialized ? refuse('BackingFileMissing', missingImage(seen.tree)) : { kind: 'restore-image' };
}

function decideUnmounted(wish: Wish, seen: VolumeObservation, host: HostFacts, memory: Memory): Decision {
  if (seen.tree !== undefined || seen.loops.length > 0 || seen.strayDirectory) {
    return { action: { kind: 'bring-down' } };
  }
  if (wish.exportFile === undefined || !isExportDue(wish, seen)) {
    return { action: { kind: 'rest' }, ...refusedMinimize(wish, seen, memory) };
  }
  if (host.pressure === undefined) return { action: { kind: 'export', file: wish.exportFile } };
  const message = `the image is not copied: ${host.pressure}; free space on the node`;
  return { action: { kind: 'rest' }, exportRefusal: { reason: 'HostPressure', message, mendedBy: 'time' } };
}

/** An unmounted volume is made no smaller; if that was tried before it was unmounted, this is what came of it. */
function refusedMinimize(wish: Wish, { record }: VolumeObservation, { refusedShrink }: Memory): Partial<Decision> {
  if (wish.minimize === undefined || record?.minimized !== undefined) return {};
  if (refusedShrink?.reason !== 'ShrinkDoesNotFit' || refusedShrink.targetBytes !== wish.sizeBytes) return {};
  return { resizeRefusal: refusalOfShrink(refusedShrink) };
}

/** Is what is mounted this volume's image, whole and alone? Undefined if so, or if nothing is. */
function refuseStranger({ image, tree, strayMount, loops }: VolumeObservation): Action | undefined {
  if (strayMount !== undefined) {
    const { fsType, source, mountPoint } = strayMount;
    return refuse(
      'ForeignMount',
      `${fsType} from ${source} is mounted at ${mountPoint} where the volume belongs; unmount it`,
    );
  }
  if (tree === undefined || image === undefined) return undefined;
  if (!loops.some((loop) => loop.path === tree.loopPath)) {
    return refuse(
      'BackingFileReplaced',
      `the volume is mounted from a file that is not its image any more; put back the image, or set spec.mounted to false and true again`,
    );
  }
  if (loops.length > 1) {
    return refuse(
      'StillInUse',
      `the image is attached to ${loops.map((loop) => loop.path).join(' and ')}; detach the one that is not ${tree.loopPath}`,
    );
  }
  if (image.sizeBytes < tree.filesystemSizeBytes) {
    return refuse(
      'ImageTruncated',
      `the image has ${image.sizeBytes} bytes and its filesystem ${tree.filesystemSizeBytes}: its end is missing; put back a copy of the image`,
    );
  }
  return undefined;
}

function decideWithoutRecord({ adopt }: Wish, { image }: VolumeObservation, host: HostFacts, memory: Memory): Action {
  if (image !== undefined) {
    return refuse(
      'ForeignFilesystem',
      'an image without a record is in the place of this volume; it is left as it is. Move it away if it is not wanted',
    );
  }
  // An object whose data is gone never becomes an empty Ready one.
  if (memory.hadData) return refuse('BackingFileMissing', missingImage(undefined));
  if (adopt !== undefined) return { kind: 'adopt', uid: adopt };
  if (host.pressure !== undefined) {
    return refuse('HostPressure', `the volume is not made: ${host.pressure}; free space on the node`, 'time');
  }
  return { kind: 'create' };
}

function missingImage(tree: TreeMount | undefined): string {
  if (tree !== undefined) {
    return `the image was removed from the node while it is in use: the data is in ${tree.path}/data only until that is unmounted; copy it away now, then delete this object`;
  }
  return 'the image is gone from the node, and with it the data; put back a copy of the image, or delete this object';
}

/** A volume whose tree is mounted, and all that its next step depends on. */
interface Mounted {
  readonly wish: Wish;
  readonly seen: VolumeObservation;
  readonly tree: TreeMount;
  readonly host: HostFacts;
  readonly memory: Memory;
}

function decideMounted(mounted: Mounted): Decision {
  const { wish, tree, host, memory } = mounted;
  if (tree.readOnly) {
    if (host.pressure === undefined)
      return {
        action: memory.unhealed === undefined ? { kind: 'heal' } : { kind: 'refuse', refusal: memory.unhealed },
      };
    const message = `btrfs turned the volume read-only after an error, and ${host.pressure}; free space on the node, then it is mounted anew`;
    return { action: refuse('ReadOnly', message, 'time') };
  }
  if (memory.unhealed !== undefined) return { action: { kind: 'refuse', refusal: memory.unhealed } };
  const isTuned = memory.tuneFailed || differences(tree, wish.settings, memory.refusedOptions).length === 0;
  if (!isTuned) return { action: { kind: 'tune' } };
  return decideSize(mounted);
}

function decideSize({ wish, seen, tree, host, memory }: Mounted): Decision {
  const { minimize } = wish;
  const done = seen.record?.minimized;
  if (minimize !== undefined && done?.request !== minimize.request) {
    const refused = memory.refusedShrink;
    if (refused?.targetBytes !== wish.sizeBytes) return { action: { kind: 'minimize', ...minimize } };
    return { action: { kind: 'rest' }, resizeRefusal: refusalOfShrink(refused) };
  }
  const targetBytes = minimize === undefined || done === undefined ? wish.sizeBytes : done.sizeBytes;
  // A minimizing that is no longer asked for is forgotten, so that the same wish is carried out when it comes again.
  const outdated = minimize === undefined && done !== undefined;
  if (!outdated && isSettledAt(targetBytes, seen, tree)) return { action: { kind: 'rest' } };
  const resizeRefusal = refuseResize(targetBytes, tree.filesystemSizeBytes, host, memory);
  if (resizeRefusal !== undefined) return { action: { kind: 'rest' }, resizeRefusal };
  return { action: { kind: 'resize', targetBytes } };
}

function isSettledAt(targetBytes: number, { image, record }: VolumeObservation, tree: TreeMount): boolean {
  const sizes = [image?.sizeBytes, tree.capacityBytes, tree.filesystemSizeBytes, record?.sizeBytes];
  return record?.resize === undefined && sizes.every((size) => size === targetBytes);
}

function refuseResize(targetBytes: number, nowBytes: number, host: HostFacts, memory: Memory): Refusal | undefined {
  const [target, now] = [formatBytes(targetBytes), formatBytes(nowBytes)];
  if (targetBytes !== nowBytes && targetBytes < MIN_RESIZE_BYTES) {
    return {
      reason: 'BelowResizeLimit',
      message: `btrfs resizes to 256Mi or more only, not from ${now} to ${target}; set spec.size to 256Mi or more`,
      mendedBy: 'person',
    };
  }
  if (targetBytes > nowBytes && host.pressure !== undefined) {
    return {
      reason: 'HostPressure',
      message: `the volume stays at ${now}: ${host.pressure}; free space on the node`,
      mendedBy: 'time',
    };
  }
  if (targetBytes > nowBytes && targetBytes - nowBytes > host.growthBytes) {
    return {
      reason: 'NodeFull',
      message: `the volume stays at ${now}: growing to ${target} needs more room than the node has left (status of its BtrfsNode); set a smaller spec.size, or remove volumes`,
      mendedBy: 'time',
    };
  }
  if (memory.refusedShrink?.targetBytes === targetBytes && targetBytes < nowBytes) {
    return refusalOfShrink(memory.refusedShrink);
  }
  return undefined;
}

function refusalOfShrink({ reason, message }: TriedShrink): Refusal {
  return { reason, message, mendedBy: reason === 'BusyVolume' ? 'time' : 'person' };
}

function refuse(reason: LoopbackVolumeReason, message: string, mendedBy: Refusal['mendedBy'] = 'person'): Action {
  return { kind: 'refuse', refusal: { reason, message, mendedBy } };
}
