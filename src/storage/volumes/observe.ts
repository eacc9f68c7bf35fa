import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type DeviceErrors, liveDevices, readDeviceErrors, readLabel } from '../../host/btrfs-sysfs.ts';
import { type Owner, readOwner } from '../../host/coreutils.ts';
import { type LoopDevice, readLoopCapacity } from '../../host/losetup.ts';
import { type Mount, mountAt, readMounts } from '../../host/mountinfo.ts';
import { readSuperblock } from '../../host/superblock.ts';
import { attempt, type Storage } from '../context.ts';
import { addErrors } from '../device-errors.ts';
import type { Layout } from '../layout.ts';
import { isErrno, type RecordDamage, tryRecord, type VolumeRecord } from '../records.ts';
import { isReadOnly, isTreeMount, isTreeOfImage } from '../tree-mount.ts';

export interface Image {
  readonly sizeBytes: number;
  /** Space that the sparse file takes on the node. */
  readonly allocatedBytes: number;
  readonly inode: number;
}

/** The operator's tree, proven to be mounted: mount point, type, subvolume, filesystem UUID and device are the recorded ones. */
export interface TreeMount {
  readonly path: string;
  readonly loopPath: string;
  /** Mount and superblock options as the kernel lists them. */
  readonly options: readonly string[];
  readonly readOnly: boolean;
  /** Size of the filesystem in bytes as of its last commit (superblock), or the recorded one where the image can't tell. */
  readonly filesystemSizeBytes: number;
  /** Capacity of the loop device in bytes. */
  readonly capacityBytes: number;
  readonly label: string;
  readonly owner: Owner;
  /** What btrfs counted, in earlier mounts too. */
  readonly deviceErrors: DeviceErrors;
}

/** Where a volume is on this node, read from disk and kernel without a look into its filesystem, which may hang. */
export interface VolumePlace {
  readonly uid: string;
  readonly record: VolumeRecord | undefined;
  readonly image: Image | undefined;
  readonly loops: readonly LoopDevice[];
  /** The mount of the operator's tree, proven. */
  readonly mount: Mount | undefined;
  /** Something at the volume's mount point that is not its tree. */
  readonly strayMount: Mount | undefined;
  /** Mount points of this filesystem besides the tree's, in this mount namespace. */
  readonly otherMountPoints: readonly string[];
  /** Something is left in the area of mounts: a mount point without a mount, or the staging place of the top. */
  readonly strayDirectory: boolean;
  /** Devices of the live filesystem with the recorded UUID; undefined when nothing on this machine keeps it alive. */
  readonly liveDevices: readonly string[] | undefined;
}

/** {@link VolumePlace} of a volume whose record may be one that can't be read; then the image tells what it can. */
export interface VolumeRemains extends VolumePlace {
  readonly damage: RecordDamage | undefined;
  /** As recorded; without a record that can be read that of the image. */
  readonly filesystemUUID: string | undefined;
}

/** What there is of one volume on this node; nothing of it is remembered. */
export interface VolumeObservation extends Omit<VolumePlace, 'mount'> {
  /** Of a volume that is whole: while it is being filled there is nothing to look at. */
  readonly tree: TreeMount | undefined;
  /** The exported file that the record tells of is in its place, with its size. */
  readonly isExported: boolean;
}

/** Reads everything about a volume; changes nothing. Looks at the mounted filesystem through commands only, as it may hang. */
export async function observeVolume(storage: Storage, uid: string): Promise<VolumeObservation> {
  return await attempt('look at the volume', async () => {
    const { mount, ...place } = await observePlace(storage, uid);
    const { record } = place;
    const tree = mount && record?.initialized ? await observeTree(storage, record, { ...place, mount }) : undefined;
    return { ...place, tree, isExported: await isExported(storage.layout, record) };
  });
}

/** Reads where a volume is; changes nothing. Throws `damaged` if its record can't be read. */
export async function observePlace(storage: Storage, uid: string): Promise<VolumePlace> {
  const { damage, filesystemUUID: _, ...place } = await observeRemains(storage, uid);
  if (damage !== undefined) throw damage.error;
  return place;
}

/** {@link observePlace} for what has to be possible whatever is in the record. */
export async function observeRemains(storage: Storage, uid: string): Promise<VolumeRemains> {
  const { layout } = storage;
  const [{ record, damage }, stats, areaStats, mounts] = await Promise.all([
    tryRecord(layout, uid),
    statOrAbsent(layout.imagePath(uid)),
    stat(layout.imagesPath),
    readMounts(),
  ]);
  const device = majorMinor(areaStats.dev);
  const inUse =
    record === undefined && stats === undefined
      ? []
      : await storage.loopDevices({ name: uid, isLinked: isLinked(stats) });
  const loops = inUse.filter((loop) => loop.backingDevice === device && loop.backingInode === stats?.ino);
  const filesystemUUID =
    record?.filesystemUUID ?? (damage && ((await uuidIn(layout.imagePath(uid))) ?? damage.fields.filesystemUUID));
  const live = filesystemUUID === undefined ? undefined : await liveDevices(filesystemUUID);
  const isTree = (found: Mount) =>
    damage === undefined
      ? isTreeMount(found, record, live)
      : isTreeOfImage(found, live) && loops.some(({ path }) => path === found.source);

  const mount = await stillThere(mountAt(mounts, layout.volumePath(uid)), isTree);
  const proven = mount !== undefined && isTree(mount);
  const topPath = layout.topPath(uid);
  return {
    uid,
    record,
    damage,
    filesystemUUID,
    image: stats === undefined ? undefined : imageOf(stats),
    loops,
    mount: proven ? mount : undefined,
    strayMount: proven ? undefined : mount,
    otherMountPoints: mounts
      .filter((other) => mount !== undefined && proven && other.device === mount.device && other !== mount)
      .map((other) => other.mountPoint)
      .filter((path) => path !== topPath),
    strayDirectory: await hasStrayDirectory(layout, uid, mounts),
    liveDevices: live,
  };
}

/** A file of several names may be attached by any of them. */
export function isLinked(stats: Pick<Stats, 'nlink'> | undefined): boolean {
  return (stats?.nlink ?? 1) > 1;
}

async function uuidIn(imagePath: string): Promise<string | undefined> {
  return (await statOrAbsent(imagePath)) && (await readSuperblock(imagePath))?.filesystemUUID;
}

/** Unmounted between the look at the mounts and the one at its filesystem, it would be taken for a foreign one. */
async function stillThere(mount: Mount | undefined, isProven: (mount: Mount) => boolean): Promise<Mount | undefined> {
  if (mount === undefined || isProven(mount)) return mount;
  return (await readMounts()).some(({ id }) => id === mount.id) ? mount : undefined;
}

/** What is no mount point lies on the node's own filesystem: looking at it can't hang. */
async function hasStrayDirectory(layout: Layout, uid: string, mounts: readonly Mount[]): Promise<boolean> {
  const topPath = layout.topPath(uid);
  if (mountAt(mounts, topPath) !== undefined) return true;
  const paths = [topPath, layout.volumePath(uid)].filter((path) => mountAt(mounts, path) === undefined);
  const found = await Promise.all(paths.map(statOrAbsent));
  return found.some((stats) => stats !== undefined);
}

const NO_OWNER: Owner = { uid: 0, gid: 0, mode: '0000' };

async function observeTree(
  storage: Storage,
  record: VolumeRecord,
  place: VolumePlace & { readonly mount: Mount },
): Promise<TreeMount> {
  const { fences, layout } = storage;
  const run = fences.run(record.uid);
  const { mount, image } = place;
  const path = mount.mountPoint;
  const isCut = record.resize === undefined && (image?.sizeBytes ?? 0) < (await readLoopCapacity(mount.source));
  const [filesystemSizeBytes, owner, capacityBytes, label, deviceErrors] = await Promise.all([
    filesystemSizeOf(storage, record, place),
    readOwner(run, layout.dataPath(record.uid)).catch((error: unknown) => {
      // Of an image whose end is missing little can be read; what matters is that it is missing.
      if (isCut) return NO_OWNER;
      throw error;
    }),
    readLoopCapacity(mount.source),
    readLabel(record.filesystemUUID),
    readDeviceErrors(record.filesystemUUID),
  ]);
  const options = [...new Set([...mount.options, ...mount.superOptions])];
  return {
    path,
    loopPath: mount.source,
    options,
    readOnly: isReadOnly(mount),
    filesystemSizeBytes,
    capacityBytes,
    label: label ?? '',
    owner,
    deviceErrors: addErrors(deviceErrors, record.lostErrors ?? {}),
  };
}

/** From the image, which lies on the node's own filesystem: a device may hang. One that was replaced under the mount tells nothing. */
async function filesystemSizeOf(
  { layout }: Storage,
  record: VolumeRecord,
  { image, loops, mount }: VolumePlace & { readonly mount: Mount },
): Promise<number> {
  const isBehindMount = image !== undefined && loops.some(({ path }) => path === mount.source);
  const superblock = isBehindMount ? await readSuperblock(layout.imagePath(record.uid)) : undefined;
  return superblock?.filesystemUUID === record.filesystemUUID ? superblock.totalBytes : record.sizeBytes;
}

async function isExported(layout: Layout, record: VolumeRecord | undefined): Promise<boolean> {
  const { namespaceUid, file, done } = record?.export ?? {};
  if (record === undefined || namespaceUid === undefined || file === undefined || done === undefined) return false;
  const stats = await statOrAbsent(join(layout.exportPath(namespaceUid, record.uid), file));
  return stats?.size === done.sizeBytes;
}

function imageOf(stats: Stats): Image {
  return { sizeBytes: stats.size, allocatedBytes: stats.blocks * 512, inode: stats.ino };
}

async function statOrAbsent(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** `major:minor` of a device number as glibc packs it (makedev(3)), the way losetup prints it. */
export function majorMinor(device: number): string {
  const number = BigInt(device);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn & 0xffffffffn);
  return `${major}:${minor}`;
}
