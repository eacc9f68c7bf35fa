import { inject } from 'vitest';
import { startTransferIdentity } from '../../../src/agent/transfer/identity.ts';
import type { CertificateTimings } from '../../../src/controller/certificates/authorities.ts';
import { startCertificates } from '../../../src/controller/certificates/start.ts';
import { configMapType, secretType, signingRequestType } from '../../../src/kube/certificate-types.ts';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import { createTransport, type Transport } from '../../../src/kube/transport.ts';
import { createLogger } from '../../../src/log.ts';
import { createMetrics } from '../../../src/net/metrics.ts';
import type { TlsIdentity } from '../../../src/net/transfer-tls.ts';
import { type Clock, systemClock } from '../../../src/runtime/clock.ts';
import { startControlPlane } from '../../cluster/control-plane.ts';
import { createNodeKubeconfig } from '../../cluster/operator-identity.ts';
import { grantEverything, installOperatorRoles } from '../../cluster/operator-roles.ts';
import { waitFor } from '../../cluster/wait-for.ts';

export const NAMESPACE = 'default';
const log = createLogger({ logLevel: 'error' });

export type Installation = Awaited<ReturnType<typeof startInstallation>>;

/** A control plane of its own (a signer decides for the whole cluster), and what asks and signs in it. */
export async function startInstallation() {
  const controlPlane = await startControlPlane({ assetsDir: inject('assetsDir') });
  const transports: Transport[] = [];
  const connect = (kubeconfigPath: string) => {
    const transport = createTransport(loadKubeConfig({ kubeconfigPath }), { userAgent: 'test' });
    transports.push(transport);
    return transport;
  };
  const admin = connect(controlPlane.kubeconfigPath);
  const running = new Set<{ stop(): Promise<void> }>();
  const untilCleanUp = <T extends { stop(): Promise<void> }>(one: T): T => {
    running.add(one);
    return one;
  };
  const requests = createResourceClient(admin, signingRequestType);
  const configMaps = createResourceClient(admin, configMapType);
  const secrets = createResourceClient(admin, secretType);
  /** As the agent on that node. */
  const connectNode = async (nodeName: string, serviceAccount?: string) => {
    const dir = `${controlPlane.dir}/${serviceAccount ?? 'agents'}`;
    const identity = { access: controlPlane, namespace: NAMESPACE, nodeName, dir };
    if (serviceAccount === undefined) {
      await installOperatorRoles(identity);
      return connect(await createNodeKubeconfig(identity));
    }
    await grantEverything(identity, serviceAccount);
    return connect(await createNodeKubeconfig({ ...identity, serviceAccount }));
  };
  return {
    admin,
    requests,
    configMaps,
    secrets,
    connectNode,
    log,

    startSigner(timings: Partial<CertificateTimings> = {}, clock: Clock = systemClock) {
      const certificates = startCertificates({
        transport: admin,
        namespace: NAMESPACE,
        agentServiceAccount: 'btrfs-operator-agent',
        log,
        clock,
        metrics: createMetrics(),
        timings,
      });
      return untilCleanUp({ stop: () => certificates.stop(1_000) });
    },

    /** What a node is to others, as it changes. */
    async startIdentity(nodeName: string) {
      const seen: TlsIdentity[] = [];
      const identity = startTransferIdentity({
        transport: await connectNode(nodeName),
        namespace: NAMESPACE,
        nodeName,
        log,
        clock: systemClock,
        onChange: (fresh) => seen.push(fresh),
      });
      untilCleanUp(identity);
      const known = () => waitFor(() => identity.current(), { what: `identity of ${nodeName}`, timeoutMs: 20_000 });
      return { seen, identity, known };
    },

    /** Nothing runs and nothing of certificates is left in the API afterwards. */
    async cleanUp(): Promise<void> {
      await Promise.all([...running].map((one) => one.stop()));
      running.clear();
      for (const { metadata } of await requests.list()) await requests.delete(metadata.name);
      await configMaps.delete(`${NAMESPACE}/btrfs-operator-transfer-ca`);
      await secrets.delete(`${NAMESPACE}/btrfs-operator-transfer-ca`);
    },

    async stop(): Promise<void> {
      await Promise.all(transports.map((transport) => transport.close()));
      await controlPlane.stop();
    },
  };
}
