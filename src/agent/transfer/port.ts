import { networkInterfaces } from 'node:os';
import type { Logger } from 'pino';
import type { AgentConfig } from '../../config.ts';
import type { Transport } from '../../kube/transport.ts';
import { formatAddress, parseAddress } from '../../net/address.ts';
import { type FetchedStream, fetchStream, type Peer } from '../../net/transfer-client.ts';
import { type StreamRequest, TransferError, type TransferHooks } from '../../net/transfer-protocol.ts';
import { type StreamSource, startTransferServer, type TransferServer } from '../../net/transfer-server.ts';
import type { TlsIdentity } from '../../net/transfer-tls.ts';
import { systemClock } from '../../runtime/clock.ts';
import { startTransferIdentity } from './identity.ts';

export interface TransferPortOptions {
  readonly config: Pick<
    AgentConfig,
    | 'nodeName'
    | 'namespace'
    | 'transferAddress'
    | 'transferAdvertiseHost'
    | 'transferConcurrency'
    | 'transferIdleSeconds'
  >;
  readonly transport: Transport;
  readonly log: Logger;
  readonly hooks?: TransferHooks;
  readonly source: StreamSource;
  /** Told where others reach this node, once it listens. */
  readonly onEndpoint?: (endpoint: string) => void;
}

/** By which this node sends snapshots to others and gets them from others. */
export interface TransferPort {
  /** `host:port`; undefined until there is a certificate. */
  readonly endpoint: string | undefined;
  /** When the certificate ends by which others know this node; undefined while there is none. */
  readonly certificateEndsAt: Date | undefined;
  /** Why nothing can be sent or fetched, or soon can't; undefined if all is well. */
  complaint(): string | undefined;
  /** A stream from another node. The signal also breaks off the stream. Throws {@link TransferError}, or the signal's reason. */
  fetch(peer: Peer, request: StreamRequest, signal: AbortSignal): Promise<FetchedStream>;
  /** Breaks off what runs. */
  stop(): Promise<void>;
}

const RETRY_LISTEN_MS = 5_000;

/** Gets a certificate and then listens, in the background and for as long as it takes. */
export function startTransferPort(options: TransferPortOptions): TransferPort {
  const { config, transport, log, hooks } = options;
  const { nodeName, namespace } = config;
  const idleMs = config.transferIdleSeconds * 1000;
  const stopped = new AbortController();
  let server: Promise<TransferServer | undefined> | undefined;
  let endpoint: string | undefined;
  let listenFailure: string | undefined;

  const open = async (): Promise<TransferServer | undefined> => {
    for (; !stopped.signal.aborted; await systemClock.sleep(RETRY_LISTEN_MS, stopped.signal)) {
      const current = identity.current();
      if (current === undefined) continue;
      try {
        const opened = await startTransferServer({
          address: config.transferAddress,
          identity: current,
          ...options.source,
          limit: config.transferConcurrency,
          idleMs,
          hooks,
          onFailure: (err, { namespace, name, peerNodeName }) =>
            log.warn({ err, namespace, name, peerNodeName }, 'transfer to another node failed'),
        });
        listenFailure = undefined;
        endpoint = endpointOf(config.transferAddress, config.transferAdvertiseHost, opened.port);
        log.info({ endpoint }, 'transfer port open');
        options.onEndpoint?.(endpoint);
        return opened;
      } catch (err) {
        listenFailure = err instanceof Error ? err.message : String(err);
        log.warn({ err }, 'transfer port not open');
      }
    }
    return undefined;
  };
  const useIdentity = (fresh: TlsIdentity) => {
    if (server === undefined) server = open();
    else void server.then((opened) => opened?.setIdentity(identity.current() ?? fresh));
  };
  const identity = startTransferIdentity({
    transport,
    namespace,
    nodeName,
    log,
    clock: systemClock,
    onChange: useIdentity,
  });

  return {
    get endpoint() {
      return endpoint;
    },
    get certificateEndsAt() {
      return identity.endsAt();
    },
    complaint: () => listenFailure ?? identity.complaint(),
    async fetch(peer, request, signal) {
      const current = identity.current();
      if (current === undefined) throw new TransferError('not-ready', identity.complaint() ?? 'no certificate yet');
      return await fetchStream({ peer, identity: current, request, idleMs, hooks }, signal);
    },
    async stop() {
      stopped.abort();
      await identity.stop();
      await (await server)?.close();
    },
  };
}

/** Where others reach a port: at the host that is advertised, else at the one that is listened on, else at this machine's own. */
function endpointOf(listenAddress: string, advertiseHost: string | undefined, port: number): string {
  const { host } = parseAddress(listenAddress);
  const listened = host === undefined || host === '0.0.0.0' || host === '::' ? undefined : host;
  return formatAddress(advertiseHost ?? listened ?? ownAddress(), port);
}

function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outward = addresses.filter(({ internal }) => !internal);
  const found = outward.find(({ family }) => family === 'IPv4') ?? outward.find(({ scopeid }) => !scopeid);
  return found?.address ?? '127.0.0.1';
}
