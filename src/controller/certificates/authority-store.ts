import { CONTROLLER_MANAGER, TRANSFER_CA, TRANSFER_CA_BUNDLE_KEY } from '../../api/group.ts';
import { type ConfigMap, configMapType, type Secret, secretType } from '../../kube/certificate-types.ts';
import { createResourceClient, type ResourceClient } from '../../kube/resource-client.ts';
import type { Transport } from '../../kube/transport.ts';
import { type Authority, createAuthority } from '../../net/certificates/authority.ts';
import type { Clock } from '../../runtime/clock.ts';
import {
  type AuthorityDecision,
  authorityData,
  type CertificateTimings,
  decideAuthorities,
  parseAuthorities,
} from './authorities.ts';

/** The authorities of this installation: with their keys in a Secret, without them in a ConfigMap that agents watch. */
export interface AuthorityStore {
  /**
   * There is an authority that will be valid for long enough, and agents can know all that are valid. Idempotent, crash
   * safe; of two that make the first authority at once one wins, and the other fails with a conflict. Returns what changed.
   */
  ensure(signal: AbortSignal): Promise<'made' | 'kept'>;
  /** Who signs now, by what the server says; undefined if nobody was made yet. */
  signer(signal: AbortSignal): Promise<Authority | undefined>;
}

export interface AuthorityStoreOptions {
  readonly transport: Transport;
  readonly namespace: string;
  readonly clock: Clock;
  readonly timings: CertificateTimings;
}

export function createAuthorityStore({ transport, namespace, clock, timings }: AuthorityStoreOptions): AuthorityStore {
  const secrets: ResourceClient<Secret> = createResourceClient(transport, secretType);
  const configMaps: ResourceClient<ConfigMap> = createResourceClient(transport, configMapType);
  const key = `${namespace}/${TRANSFER_CA}`;

  const read = async (signal: AbortSignal) => {
    const secret = await secrets.get(key, { signal });
    return { secret, decision: decide(secret) };
  };
  const decide = (secret: Secret | undefined): AuthorityDecision => {
    try {
      return decideAuthorities(parseAuthorities(secret?.data), clock.now(), timings);
    } catch (cause) {
      throw new Error(`Secret ${key} can't be used; delete it to have a new authority made`, { cause });
    }
  };
  const write = async (secret: Secret | undefined, authorities: readonly Authority[], signal: AbortSignal) => {
    const metadata = { namespace, name: TRANSFER_CA };
    const data = authorityData(authorities);
    // Neither overwrites what another wrote since we looked.
    if (secret === undefined) await secrets.create({ metadata, data }, { signal });
    else
      await secrets.update(
        { metadata: { ...metadata, resourceVersion: secret.metadata.resourceVersion }, data },
        { signal },
      );
  };

  return {
    async ensure(signal) {
      const { secret, decision } = await read(signal);
      let authorities = decision.kept;
      const now = clock.now();
      if (decision.needsNew) {
        const notAfter = new Date(now.getTime() + timings.authorityMs);
        authorities = [createAuthority({ now, notAfter }), ...decision.kept];
      }
      const isSame = authorityData(authorities)[TRANSFER_CA_BUNDLE_KEY] === secret?.data?.[TRANSFER_CA_BUNDLE_KEY];
      if (!isSame) await write(secret, authorities, signal);
      const bundle = authorities.map(({ certificatePem }) => certificatePem).join('');
      await configMaps.apply(
        { metadata: { namespace, name: TRANSFER_CA }, data: { [TRANSFER_CA_BUNDLE_KEY]: bundle } },
        { fieldManager: CONTROLLER_MANAGER, signal },
      );
      return isSame ? 'kept' : 'made';
    },
    signer: async (signal) => (await read(signal)).decision.signer,
  };
}
