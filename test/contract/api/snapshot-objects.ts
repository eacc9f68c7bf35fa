import { API_VERSION } from '../../../src/api/group.ts';
import type { ApiResponse } from '../../cluster/api.ts';
import type { Room } from './objects.ts';

/** A Snapshot of volume `demo` as a user writes it. */
export function snapshotManifest(name: string, spec: object = {}) {
  return {
    apiVersion: API_VERSION,
    kind: 'Snapshot',
    metadata: { name },
    spec: { volumeRef: { name: 'demo' }, ...spec },
  };
}

export function snapshotsPath(room: Room, name?: string): string {
  const all = `/apis/${API_VERSION}/namespaces/${room.namespace}/snapshots`;
  return name === undefined ? all : `${all}/${name}`;
}

/** The answer to a user's `kubectl create`; unknown fields are refused, as kubectl asks for. */
export function createSnapshot(room: Room, name: string, spec: object = {}): Promise<ApiResponse> {
  const body = snapshotManifest(name, spec);
  return room.call(`${snapshotsPath(room)}?fieldValidation=Strict`, { method: 'POST', body });
}

/** The answer to a user's merge patch of spec. */
export function patchSnapshot(room: Room, name: string, spec: object): Promise<ApiResponse> {
  return room.call(snapshotsPath(room, name), { method: 'PATCH', body: { spec } });
}

/** The answer to a server-side apply of status by `manager`. */
export function applySnapshotStatus(room: Room, name: string, manager: string, status: object): Promise<ApiResponse> {
  return room.call(`${snapshotsPath(room, name)}/status?fieldManager=${encodeURIComponent(manager)}`, {
    method: 'PATCH',
    contentType: 'application/apply-patch+yaml',
    body: { apiVersion: API_VERSION, kind: 'Snapshot', metadata: { name }, status },
  });
}
