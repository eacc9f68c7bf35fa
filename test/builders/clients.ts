import type { ResourceClient } from '../../src/kube/resource-client.ts';

/** A client of which only the given calls are expected; any other throws. */
export function clientWith<T>(calls: Partial<ResourceClient<T>>): ResourceClient<T> {
  return new Proxy(calls as ResourceClient<T>, {
    get(target, name) {
      const call = Reflect.get(target, name);
      if (call === undefined) throw new Error(`unexpected call: ${String(name)}`);
      return call;
    },
  });
}
