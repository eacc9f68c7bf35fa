import { createAgentMetrics } from '../../src/net/agent-metrics.ts';
import { createCacheMetrics } from '../../src/net/cache-metrics.ts';
import { createMetrics } from '../../src/net/metrics.ts';
import { addNodeMetrics } from '../../src/net/node-metrics.ts';
import { addObjectMetrics } from '../../src/net/object-metrics.ts';
import { createTransferMetrics } from '../../src/net/transfer-metrics.ts';

/** Names of all series that controller and agents export, `…_bucket` and its like included. */
export function exportedNames(): ReadonlySet<string> {
  const { registry, reconcilerHooks } = createMetrics();
  reconcilerHooks('any');
  createAgentMetrics(registry);
  createCacheMetrics(registry);
  createTransferMetrics(registry);
  const figures = {
    totalBytes: 0,
    freeBytes: 0,
    allocatableBytes: 0,
    committedBytes: 0,
    orphans: undefined,
    certificateEndsAt: undefined,
  };
  addNodeMetrics(registry, { figures: () => figures, volumes: () => [], caches: () => [] });
  addObjectMetrics(registry, { objects: () => [], volumes: () => [], nodes: () => [] });
  const names = registry.getMetricsAsArray().flatMap(({ name, type }) => {
    const isHistogram = String(type) === 'histogram';
    return isHistogram ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
  });
  return new Set(names);
}
