import { renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildCacheType } from '../../../src/api/build-cache.ts';
import { buildCacheClaimType } from '../../../src/api/build-cache-claim.ts';
import { type Condition, formatTime } from '../../../src/api/conditions.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../../../src/api/loopback-volume.ts';
import { snapshotType } from '../../../src/api/snapshot.ts';
import { isInvalid } from '../../../src/kube/errors.ts';
import type { KubeObject } from '../../../src/kube/object.ts';
import { createResourceClient, type ResourceClient } from '../../../src/kube/resource-client.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { allowUpdates, refuseUpdates } from '../../cluster/refused-updates.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import type { Lab } from '../lab.ts';
import { sh } from './host-view.ts';

/** One of each kind, in the order in which they need each other, and what of its spec can be changed. */
export const kinds = {
  LoopbackVolume: { type: loopbackVolumeType, spec: { size: '256Mi' }, change: { label: 'again', size: '384Mi' } },
  Snapshot: { type: snapshotType, spec: { volumeRef: { name: 'x' } }, change: { exports: [{ name: 'late' }] } },
  BuildCache: { type: buildCacheType, spec: { volumeRef: { name: 'x' } }, change: { keepGenerations: 7 } },
  BuildCacheClaim: { type: buildCacheClaimType, spec: { cacheRef: { name: 'x' } }, change: { release: 'Publish' } },
} as const;
export type Kind = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as Kind[];

export type Held = KubeObject & {
  readonly status: { readonly nodeName?: string; readonly conditions?: readonly Condition[] };
};

/** A namespace with one object of each kind, all named `x`; `volume` as it was before the deletion. */
export interface Cell {
  readonly lab: Lab;
  readonly namespace: string;
  /** Of the node that the objects are on. */
  readonly agent: OperatorProcess;
  readonly volume: LoopbackVolume;
}

export const clientOf = ({ lab }: Pick<Cell, 'lab'>, kind: Kind): ResourceClient<Held> =>
  createResourceClient(lab.transport, kinds[kind].type as never);

/** What befalls the objects of a cell when they are deleted. */
export interface Fate {
  /** Rows of the table of promises. */
  readonly rows: string;
  /** `node-a` if absent. */
  readonly nodeName?: string;
  readonly befall?: (cell: Cell) => unknown;
  /** After the deletion was asked for. */
  readonly meanwhile?: (cell: Cell) => unknown;
  /** What those say that are left until `end`. */
  readonly waits?: RegExp;
  /** What a person does to end it. */
  readonly end?: (cell: Cell) => unknown;
  /** The node is gone with what was on it. */
  readonly keepsImage?: true;
}

const imageOf = ({ volume }: Cell) => volume.status.imagePath ?? '';
const recordOf = ({ lab, volume }: Cell) => path.join(lab.rootPath('node-a'), 'records', `${volume.metadata.uid}.json`);
const treeOf = ({ volume }: Cell) => volume.status.mountPath ?? '';

const freeze = (cell: Cell) => void sh('fsfreeze', '--freeze', treeOf(cell));
const unfreeze = (cell: Cell) => void sh('fsfreeze', '--unfreeze', treeOf(cell));
/** While the volume hangs all say what for, or for whom they wait. */
const hangs = {
  rows: 'F44 F45 F37',
  befall: freeze,
  waits:
    /(LoopbackVolume .* HasDependents : .*; all of it is being deleted|: (CommandStuck|VolumeNotReady) : commands hang in the volume, .*see the kernel log)/,
  end: unfreeze,
} as const;

/** Everybody's spec is another one than when the deletion was asked for. */
async function changeSpec(cell: Cell): Promise<void> {
  for (const kind of kindNames) {
    await clientOf(cell, kind).patch(`${cell.namespace}/x`, { spec: kinds[kind].change }, { type: 'merge' });
  }
}

/** All statuses are emptied, and say that nothing is left on the node. */
async function forgeStatus(cell: Cell): Promise<void> {
  const removed = { type: 'Removed', status: 'True', reason: 'Removed', message: 'forged' };
  for (const kind of kindNames) {
    const client = clientOf(cell, kind);
    const object = await client.get(`${cell.namespace}/x`);
    const emptied = Object.fromEntries(Object.keys(object?.status ?? {}).map((field) => [field, null]));
    const conditions = [{ ...removed, lastTransitionTime: formatTime(new Date()) }];
    const status = { ...emptied, nodeName: object?.status.nodeName, conditions };
    await client.patch(`${cell.namespace}/x`, { status }, { type: 'merge', subresource: 'status' });
  }
}

/** Nothing in the namespace can be changed, whoever asks: as when an admission webhook is out of order. */
async function refuseChanges(cell: Cell): Promise<void> {
  const { lab, namespace } = cell;
  const any = { apiGroups: ['btrfs-operator.io'], apiVersions: ['*'], resources: ['*/*'], operations: ['UPDATE'] };
  const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': namespace } };
  await refuseUpdates(lab.access, namespace, { namespaceSelector, resourceRules: [any] });
  const label = { metadata: { labels: { probe: 'x' } } };
  const change = () => clientOf(cell, 'BuildCacheClaim').patch(`${namespace}/x`, label, { type: 'merge' });
  await waitFor(() => change().then(() => false, isInvalid), { what: 'refusal' });
}

const allowChanges = ({ lab, namespace }: Cell) => allowUpdates(lab.access, namespace);

const killAgent = ({ agent }: Cell) => agent.kill('SIGKILL');

export const lostNode = 'node-lost';
export const goneNode = 'node-gone';

export const fates: Readonly<Record<string, Fate>> = {
  'api-refuses': {
    rows: 'F22 F44',
    befall: refuseChanges,
    // Nobody can say anything.
    waits: / undefined : undefined$/,
    end: allowChanges,
  },
  'image-gone': { rows: 'F50 F44 F37', befall: (cell) => rmSync(imageOf(cell)) },
  'image-cut': { rows: 'F50 F44 F37', befall: (cell) => truncateSync(imageOf(cell), 0) },
  'record-torn': { rows: 'F6 F50', befall: (cell) => writeFileSync(recordOf(cell), '{"torn') },
  'read-only': { rows: 'F50 F44', befall: (cell) => void sh('mount', '-o', 'remount,ro', treeOf(cell)) },
  foreign: {
    rows: 'F50 F44',
    befall(cell) {
      renameSync(imageOf(cell), `${imageOf(cell)}.away`);
      sh('truncate', '--size=256M', imageOf(cell));
      sh('mkfs.btrfs', '-q', imageOf(cell));
    },
    waits: /LoopbackVolume .*ForeignFilesystem Stalled: .*delete it, then the deletion goes on/,
    end: (cell) => rmSync(imageOf(cell)),
  },
  immutable: {
    rows: 'F26',
    befall: (cell) => void sh('sh', '-c', 'chattr +i "$0"/data "$0"/claims/*/rw', treeOf(cell)),
  },
  'device-hangs-and-spec-changes': { ...hangs, meanwhile: changeSpec },
  'device-hangs-and-status-is-forged': { ...hangs, meanwhile: forgeStatus },
  'node-silent': {
    rows: 'F32 F44',
    nodeName: lostNode,
    befall: killAgent,
    waits: /NodeLost.*Bring the node or its agent back/,
    async end({ lab }) {
      await lab.startAgent(lostNode);
    },
  },
  'node-deleted': {
    rows: 'F32',
    nodeName: goneNode,
    befall: killAgent,
    waits: /NodeLost.*Bring the node or its agent back/,
    end: ({ lab }) => lab.nodes.delete(goneNode),
    keepsImage: true,
  },
};
