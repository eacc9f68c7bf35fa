import { join } from 'node:path';

/** The operator's own subvolume at the top of each filesystem, and the volume's writable subvolume in it. */
export const TREE_NAME = '.btrfs-operator';
export const DATA_NAME = 'data';
/** Where unfinished work in a volume's tree is. */
export const STAGING_NAME = 'staging';
const CACHES_NAME = 'caches';
const CLAIMS_NAME = 'claims';
const SNAPSHOTS_NAME = 'snapshots';

const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Every path below the root directory; nothing else in the project makes one. Names of objects never become paths, uids do. */
export interface Layout {
  readonly rootPath: string;
  readonly lockPath: string;
  readonly imagesPath: string;
  readonly recordsPath: string;
  readonly volumesPath: string;
  readonly importsPath: string;
  readonly exportsPath: string;
  readonly imagePath: (uid: string) => string;
  /** An image that has no record yet; renamed to its place once the record is durable. */
  readonly stagedImagePath: (uid: string) => string;
  readonly recordPath: (uid: string) => string;
  /** Where the operator's tree of a volume is mounted. */
  readonly volumePath: (uid: string) => string;
  /** Where the top of a filesystem is mounted for the moment in which its tree is made. */
  readonly topPath: (uid: string) => string;
  /** Records on their way into the tree of a volume. */
  readonly outboxPath: (uid: string) => string;
  /** Where the exports of an object are. */
  readonly exportPath: (namespaceUid: string, uid: string) => string;
  /** Named pipe between two commands that work for one object. */
  readonly pipePath: (uid: string) => string;
  /** Where the staging of an object is mounted alone, for what comes from outside the node. */
  readonly receivingPath: (uid: string) => string;
  /** Where a subvolume of a volume is mounted alone for the moment in which it is made ready to be deleted. */
  readonly sidePath: (uid: string) => string;
  /** What a pod mounts. */
  readonly dataPath: (uid: string) => string;
}

export function layoutOf(rootPath: string): Layout {
  const imagesPath = join(rootPath, 'images');
  const recordsPath = join(rootPath, 'records');
  const volumesPath = join(rootPath, 'volumes');
  return Object.freeze({
    rootPath,
    lockPath: join(rootPath, 'lock'),
    imagesPath,
    recordsPath,
    volumesPath,
    importsPath: join(rootPath, 'imports'),
    exportsPath: join(rootPath, 'exports'),
    imagePath: (uid: string) => join(imagesPath, `${checkUid(uid)}.img`),
    stagedImagePath: (uid: string) => join(imagesPath, `${checkUid(uid)}.img.new`),
    recordPath: (uid: string) => join(recordsPath, `${checkUid(uid)}.json`),
    volumePath: (uid: string) => join(volumesPath, checkUid(uid)),
    topPath: (uid: string) => join(volumesPath, `.top-${checkUid(uid)}`),
    outboxPath: (uid: string) => join(volumesPath, `${OUTBOX_PREFIX}${checkUid(uid)}`),
    exportPath: (namespaceUid: string, uid: string) => join(rootPath, 'exports', checkUid(namespaceUid), checkUid(uid)),
    pipePath: (uid: string) => join(volumesPath, `${PIPE_PREFIX}${checkUid(uid)}`),
    receivingPath: (uid: string) => join(volumesPath, `${RECEIVING_PREFIX}${checkUid(uid)}`),
    sidePath: (uid: string) => join(volumesPath, `${RECEIVING_PREFIX}side-${checkUid(uid)}`),
    dataPath: (uid: string) => join(volumesPath, checkUid(uid), DATA_NAME),
  });
}

/** Records on their way into trees, beside the mount points of volumes. */
export const OUTBOX_PREFIX = '.outbox-';

/** Named pipes, beside the mount points of volumes. */
export const PIPE_PREFIX = '.pipe-';

/** Mount points of single subvolumes, beside those of volumes. */
export const RECEIVING_PREFIX = '.receiving-';

/** Paths in a volume's tree, relative to it. */
export const treeLayout = Object.freeze({
  snapshotPath: (uid: string) => `${SNAPSHOTS_NAME}/${checkUid(uid)}`,
  writablePath: (uid: string) => `${SNAPSHOTS_NAME}/${checkUid(uid)}/rw`,
  committedPath: (uid: string) => `${SNAPSHOTS_NAME}/${checkUid(uid)}/ro`,
  stagingPath: (uid: string) => `${STAGING_NAME}/${checkUid(uid)}`,
  cachePath: (uid: string) => `${CACHES_NAME}/${checkUid(uid)}`,
  generationPath: (uid: string, generation: number) => `${CACHES_NAME}/${checkUid(uid)}/${checkNumber(generation)}`,
  claimPath: (uid: string) => `${CLAIMS_NAME}/${checkUid(uid)}`,
  /** The clone of a claim, while it may be changed and while it may not. */
  clonePath: (uid: string, access: 'ReadWrite' | 'ReadOnly') =>
    `${CLAIMS_NAME}/${checkUid(uid)}/${access === 'ReadWrite' ? 'rw' : 'ro'}`,
});

/** The number of the generation of a cache that is at this path of the tree; undefined for anything else. */
export function generationAt(path: string, cacheUid: string): number | undefined {
  const prefix = `${CACHES_NAME}/${checkUid(cacheUid)}/`;
  const name = path.startsWith(prefix) ? path.slice(prefix.length) : '';
  return /^[1-9]\d{0,14}$/.test(name) ? Number(name) : undefined;
}

/** The uid of the claim whose clone is at this path of the tree; undefined for anything else. */
export function claimUidAt(path: string): string | undefined {
  const [area, uid = '', name, ...more] = path.split('/');
  const isClone = area === CLAIMS_NAME && (name === 'rw' || name === 'ro') && more.length === 0 && UID.test(uid);
  return isClone ? uid : undefined;
}

/** What lives in a volume beside its data. */
export type TreeKind = 'Snapshot' | 'BuildCache' | 'BuildCacheClaim';

const KIND_OF: Readonly<Record<string, TreeKind>> = {
  [SNAPSHOTS_NAME]: 'Snapshot',
  [CACHES_NAME]: 'BuildCache',
  [CLAIMS_NAME]: 'BuildCacheClaim',
};

/** Whose subvolume is at this path of the tree; undefined for anything else. */
export function ownerAt(path: string): { readonly kind: TreeKind; readonly uid: string } | undefined {
  const [area = '', uid = '', name, ...more] = path.split('/');
  const kind = Object.hasOwn(KIND_OF, area) ? KIND_OF[area] : undefined;
  if (kind === undefined || name === undefined || more.length > 0 || !UID.test(uid)) return undefined;
  return { kind, uid };
}

/** Where all that belongs to an object of this kind is, in the tree. */
export function homePath(kind: TreeKind, uid: string): string {
  if (kind === 'Snapshot') return treeLayout.snapshotPath(uid);
  return kind === 'BuildCache' ? treeLayout.cachePath(uid) : treeLayout.claimPath(uid);
}

/** The uid of the object that unfinished work at this path of the tree is for; undefined for anything else. */
export function stagingUidAt(path: string): string | undefined {
  const [area, uid = '', ...more] = path.split('/');
  return area === STAGING_NAME && more.length === 0 && UID.test(uid) ? uid : undefined;
}

/** The uid that a file in `images/` or `records/` is named after; undefined for one that the operator did not name. */
export function uidOfFile(name: string): string | undefined {
  const [, uid] = name.match(/^([0-9a-f-]{36})\.(?:img|img\.new|json)$/) ?? [];
  return uid !== undefined && UID.test(uid) ? uid : undefined;
}

export function isUid(text: string): boolean {
  return UID.test(text);
}

/** A uid of the API server is a UUID (RFC 9562); anything else could be a path in disguise. */
function checkUid(uid: string): string {
  if (!UID.test(uid)) throw new TypeError(`not a uid: ${JSON.stringify(uid)}`);
  return uid;
}

function checkNumber(generation: number): number {
  if (!Number.isSafeInteger(generation) || generation < 1) throw new TypeError(`not a generation: ${generation}`);
  return generation;
}
