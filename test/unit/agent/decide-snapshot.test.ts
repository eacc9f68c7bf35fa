import { describe, expect, it } from 'vitest';
import { decide } from '../../../src/agent/snapshots/decide.ts';
import type { SnapshotObservation } from '../../../src/storage/snapshots/snapshot.ts';
import { seenOf, snapshotOf, subvolumeOf } from '../../builders/snapshots.ts';

const writable = subvolumeOf('rw');
const committed = subvolumeOf('ro');
const staging = subvolumeOf('rw', { path: '.btrfs-operator/staging/uid-snap' });

function decided(access: string, seen: Partial<SnapshotObservation>, uuid?: string) {
  const status = uuid === undefined ? {} : { uuid };
  return decide(snapshotOf({ spec: { access }, status }), seenOf(seen));
}

describe('decide: the next step of a Snapshot', () => {
  const rows: readonly (readonly [
    title: string,
    access: string,
    seen: Partial<SnapshotObservation>,
    uuid: string | undefined,
    kind: string,
  ])[] = [
    ['D3 nothing is there: it is made', 'ReadOnly', {}, undefined, 'make'],
    ['D3 nothing is there: it is made writable', 'ReadWrite', {}, undefined, 'make'],
    ['D6 what is only in staging is made anew', 'ReadOnly', { staging }, undefined, 'make'],
    ['D8 a writable one is committed', 'ReadOnly', { writable }, 'uuid-rw', 'commit'],
    ['D8 a commit that died before the end goes on', 'ReadOnly', { writable, committed }, 'uuid-rw', 'commit'],
    ['D8 a committed one comes to rest', 'ReadOnly', { committed }, 'uuid-ro', 'rest'],
    ['D9 also if the status does not know it yet', 'ReadOnly', { committed }, 'uuid-rw', 'rest'],
    ['D2 a writable one comes to rest', 'ReadWrite', { writable }, 'uuid-rw', 'rest'],
    ['D6 left-overs go when it is there', 'ReadOnly', { committed, staging }, 'uuid-ro', 'clean'],
    ['D6 left-overs go when it is there, writable', 'ReadWrite', { writable, staging }, 'uuid-rw', 'clean'],
  ];
  it.each(rows)('%s', (_, access, seen, uuid, kind) => expect(decided(access, seen, uuid).kind).toBe(kind));
});

describe('decide: what of a Snapshot is never guessed', () => {
  const rows: readonly (readonly [
    title: string,
    access: string,
    seen: Partial<SnapshotObservation>,
    uuid: string | undefined,
    reason: string,
  ])[] = [
    ['one that was there and is gone is not made anew', 'ReadOnly', {}, 'uuid-ro', 'DataMissing'],
    ['nor of what is in staging', 'ReadWrite', { staging }, 'uuid-rw', 'DataMissing'],
    ['D9 a committed one does not become writable', 'ReadWrite', { committed }, 'uuid-ro', 'WasCommitted'],
    ['D9 nor with the old one beside it', 'ReadWrite', { committed, writable }, 'uuid-rw', 'WasCommitted'],
  ];
  it.each(rows)('%s', (_, access, seen, uuid, reason) =>
    expect(decided(access, seen, uuid)).toEqual({
      kind: 'refuse',
      refusal: { reason, message: expect.any(String), mendedBy: 'person' },
    }),
  );
});
