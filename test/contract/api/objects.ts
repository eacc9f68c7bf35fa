import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { API_VERSION } from '../../../src/api/group.ts';
import { type ApiRequest, type ApiResponse, callApi } from '../../cluster/api.ts';
import { createKubectl, type Kubectl } from '../../cluster/kubectl.ts';

/** A namespace of its own for the tests of a file; nothing runs in it, so nothing is to be cleaned up. */
export interface Room {
  readonly namespace: string;
  /** In the room's namespace unless told otherwise. */
  readonly kubectl: Kubectl;
  call(path: string, options?: ApiRequest): Promise<ApiResponse>;
}

export async function createRoom(): Promise<Room> {
  const namespace = `test-api-${randomBytes(4).toString('hex')}`;
  const access = inject('api');
  const kubectl = createKubectl(inject('assetsDir'), inject('kubeconfigPath'));
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  const { status } = await callApi(access, '/api/v1/namespaces', { method: 'POST', body });
  if (status !== 201) throw new Error(`cannot make namespace ${namespace}: ${status}`);
  return {
    namespace,
    kubectl: (args, options) => kubectl([`--namespace=${namespace}`, ...args], options),
    call: (path, options) => callApi(access, path, options),
  };
}

const since = '2026-11-21T10:00:00Z';

/** A LoopbackVolume as a user writes it. */
export function volumeManifest(name: string, spec: object) {
  return { apiVersion: API_VERSION, kind: 'LoopbackVolume', metadata: { name }, spec };
}

export function volumesPath(room: Room, name?: string): string {
  const all = `/apis/${API_VERSION}/namespaces/${room.namespace}/loopbackvolumes`;
  return name === undefined ? all : `${all}/${name}`;
}

/** The answer to a user's `kubectl create`; unknown fields are refused, as kubectl asks for. */
export function create(room: Room, name: string, spec: object): Promise<ApiResponse> {
  return room.call(`${volumesPath(room)}?fieldValidation=Strict`, { method: 'POST', body: volumeManifest(name, spec) });
}

/** The answer to a user's merge patch of spec. */
export function patchSpec(room: Room, name: string, spec: object): Promise<ApiResponse> {
  return room.call(volumesPath(room, name), { method: 'PATCH', body: { spec } });
}

/** The answer to a server-side apply of status by `manager`. */
export function applyStatus(room: Room, name: string, manager: string, status: object): Promise<ApiResponse> {
  return room.call(`${volumesPath(room, name)}/status?fieldManager=${encodeURIComponent(manager)}`, {
    method: 'PATCH',
    contentType: 'application/apply-patch+yaml',
    body: { apiVersion: API_VERSION, kind: 'LoopbackVolume', metadata: { name }, status },
  });
}

export function condition(type: string, status: string, reason: string) {
  return { type, status, reason, message: `${type} is ${status}`, lastTransitionTime: since };
}
