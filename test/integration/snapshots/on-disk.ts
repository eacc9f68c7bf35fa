import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { findCondition } from '../../../src/api/conditions.ts';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { Snapshot } from '../../../src/api/snapshot.ts';

/** The operator's own areas in the tree of a volume, all that is in them down to the tenants' data; sorted. */
export function areasOf(treePath: string): string[] {
  return readdirSync(treePath)
    .filter((name) => name !== 'data')
    .flatMap((area) => readdirSync(path.join(treePath, area)).map((name) => path.join(area, name)))
    .flatMap((entry) => [entry, ...readdirSync(path.join(treePath, entry)).map((name) => path.join(entry, name))])
    .toSorted();
}

/** Subvolumes that lie directly in the operator's tree, relative to it; sorted. */
export function subvolumesOf(treePath: string): string[] {
  return lines('btrfs', 'subvolume', 'list', '-o', treePath)
    .map((line) => line.replace(/^ID \d+ gen \d+ top level \d+ path \.btrfs-operator\//, ''))
    .toSorted();
}

/** Number of all subvolumes of the filesystem, those of tenants too (as long as their names forge no lines). */
export function countSubvolumes(treePath: string): number {
  return lines('btrfs', 'subvolume', 'list', treePath).length;
}

/**
 * The tree of the volume holds the subvolumes and records of these Snapshots and of no other, nothing is left in staging, and
 * each status says what the kernel says.
 */
export function expectTreeToMatch(volume: LoopbackVolume, snapshots: readonly Snapshot[]): void {
  const treePath = volume.status.mountPath ?? '';
  const placeOf = (snapshot: Snapshot) =>
    `snapshots/${snapshot.metadata.uid}/${findCondition(snapshot.status.conditions, 'Committed')?.status === 'True' ? 'ro' : 'rw'}`;
  expect(subvolumesOf(treePath)).toEqual(['data', ...snapshots.map(placeOf)].toSorted());
  expect(areasOf(treePath)).toEqual(
    snapshots
      .flatMap((snapshot) => {
        const dir = `snapshots/${snapshot.metadata.uid}`;
        return [dir, `${dir}/record.json`, placeOf(snapshot)];
      })
      .toSorted(),
  );
  const onDisk = listed(treePath);
  for (const snapshot of snapshots) expectStatusToBeTrue(snapshot, treePath, onDisk.get(placeOf(snapshot)));
}

type Listed = Pick<Snapshot['status'], 'uuid' | 'parentUUID' | 'receivedUUID'> & {
  readonly id: number;
  readonly place: string;
  readonly isReadOnly: boolean;
};

/** What lies directly in the operator's tree, by its place there: with one look at all of it, there may be a thousand. */
function listed(treePath: string): ReadonlyMap<string, Listed> {
  const list = (...flags: readonly string[]) =>
    lines('btrfs', 'subvolume', 'list', '-o', '-u', '-q', '-R', ...flags, treePath).map((line) => {
      const field = (name: string) => line.match(new RegExp(` ${name}\\s+(\\S+)`))?.[1];
      const orAbsent = (uuid: string | undefined) => (uuid === '-' ? undefined : uuid);
      return {
        id: Number(line.match(/^ID (\d+)/)?.[1]),
        uuid: field('uuid'),
        parentUUID: orAbsent(field('parent_uuid')),
        receivedUUID: orAbsent(field('received_uuid')),
        place: field('path')?.replace('.btrfs-operator/', '') ?? '',
      };
    });
  const readOnly = new Set(list('-r').map(({ id }) => id));
  return new Map(list().map((one) => [one.place, { ...one, isReadOnly: readOnly.has(one.id) }]));
}

function expectStatusToBeTrue({ status, spec, metadata }: Snapshot, treePath: string, found: Listed | undefined): void {
  if (found === undefined) throw new Error(`Snapshot ${metadata.name} has no subvolume`);
  const { id, uuid, parentUUID, receivedUUID, place, isReadOnly } = found;
  const subvolumePath = path.join(treePath, place);
  const isCommitted = place.endsWith('/ro');
  expect(isCommitted, `${metadata.name} is committed`).toBe(spec.access === 'ReadOnly');
  expect(isReadOnly, `${metadata.name} is read-only`).toBe(isCommitted);
  expect({
    id: status.subvolumeID,
    uuid: status.uuid,
    parentUUID: status.parentUUID,
    receivedUUID: status.receivedUUID,
    path: status.path,
    options: status.mount?.options,
  }).toEqual({
    id,
    uuid,
    parentUUID,
    receivedUUID,
    path: subvolumePath,
    options: [`subvolid=${id}`, ...(isCommitted ? ['ro'] : [])],
  });
  if (spec.owner === undefined) return;
  const { uid, gid, mode } = statSync(subvolumePath);
  const { owner } = spec;
  expect([uid, gid, (mode & 0o777).toString(8)]).toEqual([owner.uid, owner.gid, owner.mode.replace(/^0/, '')]);
}

function lines(file: string, ...args: readonly string[]): string[] {
  const text = execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return text.split('\n').filter((line) => line !== '');
}
