import type { Logger } from 'pino';
import { type AgentConfig, version } from '../config.ts';
import { loadKubeConfig } from '../kube/config.ts';
import { createTransport } from '../kube/transport.ts';
import { createLogger } from '../log.ts';
import { type AgentMetrics, createAgentMetrics } from '../net/agent-metrics.ts';
import { createMetrics } from '../net/metrics.ts';
import { startHealthServer, startMetricsServer } from '../net/server.ts';
import { systemClock } from '../runtime/clock.ts';
import { createStorage, type Storage } from '../storage/context.ts';
import { StorageError } from '../storage/errors.ts';
import { readPlatform } from '../storage/platform.ts';
import { openRoot, type RootLock } from '../storage/root.ts';
import { commandLog } from './command-log.ts';
import { runNodeAgent } from './node-agent.ts';

const RETRY_ROOT_MS = 2_000;

/** Works on the objects of one node until the signal aborts; leaves mounts and loop devices as they are. Resolves to the exit code. */
export async function runAgent(config: AgentConfig, signal: AbortSignal): Promise<number> {
  const log = createLogger({ ...config, bindings: { node: config.nodeName } });
  const metrics = createMetrics();
  metrics.setInfo({ component: 'agent', version });
  const agentMetrics = createAgentMetrics(metrics.registry);
  const transport = createTransport(loadKubeConfig({ kubeconfigPath: config.kubeconfig }), {
    userAgent: `btrfs-operator/${version} (agent)`,
    onRequest: metrics.requestEnded,
  });
  const storage = createStorage({
    rootPath: config.root,
    commandPath: config.commandPath,
    sectorSize: config.sectorSize,
    directIO: config.directIO === 'On',
    onCommand: commandLog(log, agentMetrics),
  });
  let complaint: () => string | undefined = () => 'starting';
  const setReady = (check: () => string | undefined) => {
    complaint = check;
  };
  const health = await startHealthServer({
    address: config.healthAddress,
    ready: [{ name: 'agent', check: () => complaint() }],
  });
  const metricsServer = await startMetricsServer(config.metricsAddress, metrics);
  log.info({ version, root: config.root, healthUrl: health.url, metricsUrl: metricsServer.url }, 'agent started');
  try {
    const root = await openPatiently(storage, { log, setReady, agentMetrics }, signal);
    if (root === undefined) return 0;
    await runNodeAgent({ config, log, metrics, agentMetrics, transport, storage, setReady }, signal);
    await root.release();
    return 0;
  } finally {
    await Promise.all([health.close(), metricsServer.close(), transport.close()]);
    log.info('agent stopped');
  }
}

interface Reports {
  readonly log: Logger;
  readonly setReady: (check: () => string | undefined) => void;
  readonly agentMetrics: AgentMetrics;
}

/**
 * The root directory, once it is ours and the tools are there; undefined if the signal aborts before. Waits while another
 * agent has it (the one that is being replaced), and tries again whatever else fails.
 */
async function openPatiently(
  storage: Storage,
  { log, setReady, agentMetrics }: Reports,
  signal: AbortSignal,
): Promise<RootLock | undefined> {
  for (let lastMessage = ''; !signal.aborted; await systemClock.sleep(RETRY_ROOT_MS, signal)) {
    let root: RootLock | undefined;
    try {
      root = await openRoot(storage);
      agentMetrics.setInfo({ version, ...(await readPlatform(storage)) });
      return root;
    } catch (err) {
      await root?.release();
      const message = err instanceof StorageError ? err.message : `the root directory can't be used: ${String(err)}`;
      if (message !== lastMessage) log.warn({ err }, 'root directory not ready');
      lastMessage = message;
      setReady(() => message);
    }
  }
  return undefined;
}
