import { findCondition } from '../../src/api/conditions.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../../src/api/loopback-volume.ts';
import { startReflector } from '../../src/kube/reflector.ts';
import { createResourceClient } from '../../src/kube/resource-client.ts';
import type { Transport } from '../../src/kube/transport.ts';
import { createLogger } from '../../src/log.ts';

export type User = ReturnType<typeof createUser>;

/** A user with kubectl in hand: writes specs, and watches until they have come true. */
export function createUser(transport: Transport) {
  const client = createResourceClient<LoopbackVolume>(transport, loopbackVolumeType);
  const waiting = new Map<string, () => void>();
  const reflector = startReflector<LoopbackVolume>({
    transport,
    type: loopbackVolumeType,
    log: createLogger({ logLevel: 'error' }),
    onChange: ({ object }) => waiting.get(object.metadata.name)?.(),
  });
  const until = (name: string, is: (volume: LoopbackVolume | undefined) => boolean) =>
    new Promise<void>((resolve) => {
      const check = () => {
        if (!is(reflector.get(`default/${name}`))) return;
        waiting.delete(name);
        resolve();
      };
      waiting.set(name, check);
      check();
    });
  return {
    synced: () => reflector.synced(),
    stop: () => reflector.stop(),
    async create(name: string, size: string) {
      await client.create({ metadata: { namespace: 'default', name }, spec: { size, nodeName: 'bench' } });
      await until(name, (volume) => isTrue(volume, 'Ready'));
    },
    async change(name: string, spec: Record<string, unknown>) {
      const { metadata } = await client.patch(`default/${name}`, { spec }, { type: 'merge' });
      await until(
        name,
        (volume) => volume?.status.observedGeneration === metadata.generation && isTrue(volume, 'Resized'),
      );
    },
    async remove(name: string) {
      await client.delete(`default/${name}`);
      await until(name, (volume) => volume === undefined);
    },
  };
}

function isTrue(volume: LoopbackVolume | undefined, type: string): boolean {
  return findCondition(volume?.status.conditions, type)?.status === 'True';
}
