import type { LoopDevice } from '../../src/host/losetup.ts';
import type { Mount } from '../../src/host/mountinfo.ts';
import type { VolumeRecord } from '../../src/storage/records.ts';
import { mountOptions } from '../../src/storage/volumes/mount-options.ts';
import type { Image, TreeMount, VolumeObservation } from '../../src/storage/volumes/observe.ts';
import { GIB, settings } from './wishes.ts';

export const UID = '3f1f8f9e-3f64-4f0c-9d59-5b6f6c0c1a11';
export const FILESYSTEM_UUID = '0c292a8e-8c8e-4a53-9a77-3b3d8d3f6c11';
const TREE_UUID = 'a7697890-4f30-4745-95ac-b5b75def9bd3';
const INODE = 9978050;

/** The record of a finished volume of 1 GiB. */
export function recordOf(parts: Partial<VolumeRecord> = {}): VolumeRecord {
  return {
    schemaVersion: 1,
    kind: 'LoopbackVolume',
    uid: UID,
    namespace: 'ns',
    name: 'vol',
    createdAt: '2026-01-01T00:00:00.000Z',
    filesystemUUID: FILESYSTEM_UUID,
    imageInode: INODE,
    initialized: true,
    sizeBytes: GIB,
    tree: { id: 256, uuid: TREE_UUID },
    ...parts,
  };
}

export function imageOf(parts: Partial<Image> = {}): Image {
  return { sizeBytes: GIB, allocatedBytes: 2 ** 20, inode: INODE, ...parts };
}

export function loopOf(parts: Partial<LoopDevice> = {}): LoopDevice {
  return {
    path: '/dev/loop7',
    backingDevice: '254:0',
    backingInode: INODE,
    autoclear: false,
    directIO: true,
    sectorSize: 4096,
    ...parts,
  };
}

/** The tree of a volume whose spec is all defaults. */
export function treeOf(parts: Partial<TreeMount> = {}): TreeMount {
  return {
    path: `/root/volumes/${UID}`,
    loopPath: '/dev/loop7',
    options: ['rw', 'space_cache=v2', 'subvolid=256', ...mountOptions(settings)],
    readOnly: false,
    filesystemSizeBytes: GIB,
    capacityBytes: GIB,
    label: '',
    owner: settings.owner,
    deviceErrors: {},
    ...parts,
  };
}

export function mountOf(parts: Partial<Mount> = {}): Mount {
  return {
    id: 45,
    parentId: 27,
    device: '0:39',
    root: '/.btrfs-operator',
    mountPoint: `/root/volumes/${UID}`,
    options: ['rw', 'noatime', 'nosuid', 'nodev'],
    fsType: 'btrfs',
    source: '/dev/loop7',
    superOptions: ['rw', 'compress=zstd:3', 'discard=async', 'subvolid=256', 'subvol=/.btrfs-operator'],
    ...parts,
  };
}

/** Nothing of the volume is on the node. */
export function nothingSeen(parts: Partial<VolumeObservation> = {}): VolumeObservation {
  return {
    uid: UID,
    record: undefined,
    image: undefined,
    loops: [],
    tree: undefined,
    isExported: false,
    strayMount: undefined,
    otherMountPoints: [],
    strayDirectory: false,
    liveDevices: undefined,
    ...parts,
  };
}

/** A finished volume that is neither attached nor mounted. */
export function downSeen(parts: Partial<VolumeObservation> = {}): VolumeObservation {
  return nothingSeen({ record: recordOf(), image: imageOf(), ...parts });
}

/** A finished volume, mounted, with which all is well. */
export function mountedSeen(parts: Partial<VolumeObservation> = {}): VolumeObservation {
  return downSeen({ loops: [loopOf()], tree: treeOf(), liveDevices: ['loop7'], ...parts });
}
