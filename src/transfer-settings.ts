import { z } from 'zod';
import { count, dnsName, listenAddress, seconds } from './runtime/setting-kinds.ts';
import { type Kind, setting } from './runtime/settings.ts';

const optionalHost: Kind<string | undefined> = {
  schema: z
    .string()
    .regex(/^[a-zA-Z0-9.:-]{0,253}$/)
    .transform((host) => (host === '' ? undefined : host)),
  allowed: 'an IP address or a host name',
};

const optionalName: Kind<string> = {
  schema: z.union([z.literal('none').transform(() => ''), dnsName.schema]),
  allowed: `${dnsName.allowed}, or none`,
};

/** How an agent sends snapshots to other nodes and fetches them from there. */
export const agentTransferSettings = {
  transferAddress: setting(listenAddress, ':8082', 'Where other nodes fetch snapshots from this one, by mutual TLS.'),
  transferAdvertiseHost: setting(
    optionalHost,
    '',
    'Host under which other nodes reach that address; if absent, the one listened on or the first of the machine.',
    'POD_IP',
  ),
  transferConcurrency: setting(
    count(64),
    '4',
    'Snapshots sent to other nodes at once; the rest wait, in turn between namespaces.',
  ),
  transferIdleSeconds: setting(
    seconds(0.2, 3600),
    '30',
    'A transfer is broken off when the other end was silent, or took nothing, for so long.',
  ),
};

/** Whose requests for the certificates of that TLS are signed. */
export const controllerTransferSettings = {
  agentServiceAccount: setting(
    optionalName,
    'btrfs-operator-agent',
    'Service account of the agents, in the namespace of the operator; none: any that proves its node gets a certificate.',
  ),
};
