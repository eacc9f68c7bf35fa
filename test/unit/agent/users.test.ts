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
