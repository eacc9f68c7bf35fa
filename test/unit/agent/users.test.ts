import { describe, expect, it, vi } from 'vitest';
import { createPodsUsing } from '../../../src/agent/volumes/users.ts';
import type { ListOptions } from '../../../src/kube/resource-client.ts';
import type { Pod } from '../../../src/kube/resource-types.ts';
import { clientWith } from '../../builders/clients.ts';

function podOf(name: string, ...hostPaths: readonly string[]): Pod {
  const volumes = hostPaths.map((path, index) => ({ name: `v${index}`, hostPath: { path } }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'ns', name, uid: name, resourceVersion: '1' },
    spec: { nodeName: 'node-a', volumes: [{ name: 'token' }, ...volumes] },
  };
}

const PATH = '/root/volumes/3f1f8f9e';

function podsUsing(...pods: readonly Pod[]) {
  const list = vi.fn(async (_: ListOptions = {}) => [...pods]);
  return { list, using: createPodsUsing(clientWith<Pod>({ list }), 'node-a') };
}

describe('createPodsUsing', () => {
  it('C23 names the pods that mount the path or something below it, in order', async () => {
    const { using } = podsUsing(
      podOf('b', `${PATH}/data`),
      podOf('a', '/elsewhere', PATH),
      podOf('longer', `${PATH}0/data`),
      podOf('above', '/root/volumes'),
      podOf('none'),
    );
    expect(await using(PATH)).toEqual(['ns/a', 'ns/b']);
  });

  const SNAPSHOT = `${PATH}/snapshots/1b7e`;
  const mounting = (pod: Pod, mount: Record<string, string>, where = 'containers'): Pod => ({
    ...pod,
    spec: { ...pod.spec, [where]: [{ volumeMounts: [{ name: 'token' }, { name: 'v0', ...mount }] }] },
  });

  it.each([
    ['a double slash', podOf('p', `${PATH}//snapshots///1b7e/rw`), true],
    ['a dot', podOf('p', `${PATH}/./snapshots/1b7e/.`), true],
    ['slashes at both ends', podOf('p', `//root/volumes/3f1f8f9e/snapshots/1b7e//`), true],
    ['dots that lead back', podOf('p', `${PATH}/data/../snapshots/1b7e`), true],
    ['its parent', podOf('p', `${PATH}/snapshots/`), true],
    ['the whole volume', podOf('p', PATH), true],
    ['a parent, but only a sibling of it', mounting(podOf('p', `${PATH}/snapshots`), { subPath: '2c8f' }), false],
    ['a parent and it', mounting(podOf('p', `${PATH}/snapshots`), { subPath: '1b7e//rw' }), true],
    ['the root and it', mounting(podOf('p', '/root'), { subPath: 'volumes/./3f1f8f9e/snapshots/1b7e' }), true],
    ['everything and it', mounting(podOf('p', '/'), { subPath: 'root/volumes/3f1f8f9e/snapshots' }), true],
    [
      'a parent and what a variable says',
      mounting(podOf('p', `${PATH}/snapshots`), { subPathExpr: '$(UID)/rw' }),
      true,
    ],
    ['a sibling and what a variable says', mounting(podOf('p', PATH), { subPathExpr: 'data/x$(UID)' }), false],
    ['it, to begin with', mounting(podOf('p', PATH), { subPath: 'snapshots/1b7e' }, 'initContainers'), true],
    ['it, to look', mounting(podOf('p', PATH), { subPath: 'snapshots/1b7e' }, 'ephemeralContainers'), true],
    ['the directory of all volumes', podOf('p', '/root/volumes'), false],
    ['everything', podOf('p', '/'), false],
    ['a longer name', podOf('p', `${SNAPSHOT}0`), false],
    ['data', podOf('p', `${PATH}/data`), false],
  ])('F17 a pod that mounts %s', async (_, pod, isUser) => {
    expect(await podsUsing(pod).using(SNAPSHOT)).toEqual(isUser ? ['ns/p'] : []);
  });

  it('C23 names ten at most', async () => {
    const { using } = podsUsing(...Array.from({ length: 12 }, (_, index) => podOf(`p${index}`, PATH)));
    expect(await using(PATH)).toHaveLength(10);
  });

  it('asks for the pods of this node that have not ended', async () => {
    const { list, using } = podsUsing();
    expect(await using(PATH)).toEqual([]);
    expect(list.mock.calls[0]?.[0]?.fieldSelector?.split(',')).toEqual([
      'spec.nodeName=node-a',
      'status.phase!=Succeeded',
      'status.phase!=Failed',
    ]);
  });

  it('a pod without a spec uses nothing', async () => {
    const { spec: _, ...pod } = podOf('p');
    expect(await podsUsing(pod).using(PATH)).toEqual([]);
  });
});
