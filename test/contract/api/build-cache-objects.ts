import { expect } from 'vitest';
import { API_VERSION } from '../../../src/api/group.ts';
import type { ApiResponse } from '../../cluster/api.ts';
import type { Room } from './objects.ts';

/** What tests of one kind do in the place of users and of those who write status; `base` is what every spec holds. */
export function callsFor(kind: string, plural: string, base: object) {
  const pathOf = (room: Room, name?: string): string => {
    const all = `/apis/${API_VERSION}/namespaces/${room.namespace}/${plural}`;
    return name === undefined ? all : `${all}/${name}`;
  };
  const manifest = (name: string, spec: object = {}) => ({
    apiVersion: API_VERSION,
    kind,
    metadata: { name },
    spec: { ...base, ...spec },
  });
  return {
    pathOf,
    manifest,
    /** The answer to a user's `kubectl create`; unknown fields are refused, as kubectl asks for. */
    create: (room: Room, name: string, spec: object = {}): Promise<ApiResponse> =>
      room.call(`${pathOf(room)}?fieldValidation=Strict`, { method: 'POST', body: manifest(name, spec) }),
    /** What would become of it. */
    dryRun: (room: Room, spec: object): Promise<ApiResponse> =>
      room.call(`${pathOf(room)}?dryRun=All&fieldValidation=Strict`, { method: 'POST', body: manifest('dry', spec) }),
    /** The answer to a user's merge patch of spec. */
    patch: (room: Room, name: string, spec: object): Promise<ApiResponse> =>
      room.call(pathOf(room, name), { method: 'PATCH', body: { spec } }),
    /** The answer to a server-side apply of status by `manager`. */
    applyStatus: (room: Room, name: string, manager: string, status: object): Promise<ApiResponse> =>
      room.call(`${pathOf(room, name)}/status?fieldManager=${encodeURIComponent(manager)}`, {
        method: 'PATCH',
        contentType: 'application/apply-patch+yaml',
        body: { apiVersion: API_VERSION, kind, metadata: { name }, status },
      }),
  };
}

export const cacheCalls = callsFor('BuildCache', 'buildcaches', { volumeRef: { name: 'demo' } });
export const claimCalls = callsFor('BuildCacheClaim', 'buildcacheclaims', { cacheRef: { name: 'npm' } });

/** How the API server refuses a change. */
export const refusal = (message: string) => ({
  status: 422,
  body: expect.objectContaining({ message: expect.stringContaining(message) }),
});

/** The lines that kubectl has printed, by columns. */
export const rowsOf = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s{2,}/));

/** No name of an object. */
export const badNames = [
  '',
  '.',
  '..',
  '../npm',
  '/etc',
  'a/b',
  '%2e%2e',
  'npm?x=y',
  'Npm',
  '-rf',
  'a\nb',
  'a\u0000b',
  'a b',
];
