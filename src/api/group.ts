import { createHash } from 'node:crypto';

/** The API group, its version, and every name that two processes have to agree on. */
export const GROUP = 'btrfs-operator.io';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}` as const;

/** All kinds answer to `kubectl get btrfs`. */
export const CATEGORY = 'btrfs';

/** Holds a LoopbackVolume until its node has removed what is on disk; set and removed by the controller. */
export const VOLUME_FINALIZER = `${GROUP}/volume` as const;

/** Holds a Snapshot likewise. */
export const SNAPSHOT_FINALIZER = `${GROUP}/snapshot` as const;

/** Holds a BuildCache likewise. */
export const BUILD_CACHE_FINALIZER = `${GROUP}/buildcache` as const;

/** Holds a BuildCacheClaim likewise. */
export const BUILD_CACHE_CLAIM_FINALIZER = `${GROUP}/buildcacheclaim` as const;

/** Annotation of a BtrfsNode: uids of orphans, with commas between them, that its agent shall remove for good. */
export const REMOVE_ORPHANS = `${GROUP}/remove-orphans` as const;

/** Server-side apply field manager of `status.nodeName` and condition `Scheduled`; also owner of finalizers. */
export const CONTROLLER_MANAGER = 'btrfs-operator-controller';

/** Every agent's Lease has a name that begins so, in the namespace of the operator. */
const LEASE_PREFIX = 'btrfs-operator-agent-';

/** Name of the Lease that the controllers of one installation elect their leader with. */
export const LEADER_LEASE = 'btrfs-operator-controller';

/** Signer of the certificates by which agents know each other when they transfer snapshots. */
export const TRANSFER_SIGNER = `${GROUP}/transfer` as const;

/** Secret with the authority that signs them, and ConfigMap with its certificates, in the namespace of the operator. */
export const TRANSFER_CA = 'btrfs-operator-transfer-ca';

/** Key of that ConfigMap: the certificates of all authorities that are valid, in PEM. */
export const TRANSFER_CA_BUNDLE_KEY = 'ca.crt';

const AGENT_MANAGER_PREFIX = 'btrfs-operator-agent/';
const CLONES_MANAGER_PREFIX = 'btrfs-operator-agent-clones/';
/** Limit of the API server for a field manager's name. */
const MANAGER_MAX_LENGTH = 128;
/** Limit of the API server for a Lease's name (a DNS subdomain). */
const LEASE_NAME_MAX_LENGTH = 253;
/** 64 bits: two nodes of one cluster with an equal start and an equal hash are not to be expected. */
const HASH_LENGTH = 16;

/** Field manager of the agent on `node`, 128 characters at most: a longer node name ends in a hash of the whole. */
export function agentManager(node: string): string {
  return AGENT_MANAGER_PREFIX + shortened(node, MANAGER_MAX_LENGTH - AGENT_MANAGER_PREFIX.length);
}

/** Field manager of that agent for the list of claims in the status of a BuildCache, and nothing else. */
export function clonesManager(node: string): string {
  return CLONES_MANAGER_PREFIX + shortened(node, MANAGER_MAX_LENGTH - CLONES_MANAGER_PREFIX.length);
}

/** Name of the Lease of the agent on `node`, 253 characters at most: a longer node name ends in a hash of the whole. */
export function agentLeaseName(node: string): string {
  return LEASE_PREFIX + shortened(node, LEASE_NAME_MAX_LENGTH - LEASE_PREFIX.length);
}

function shortened(name: string, maxLength: number): string {
  if (name.length <= maxLength) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_LENGTH);
  const start = name.slice(0, maxLength - HASH_LENGTH - 1).replace(/[^a-z0-9]+$/, '');
  return `${start}-${hash}`;
}

/** The oldest kernel of a node that volumes are placed on; the documents say the same, which a test compares. */
export const MIN_KERNEL = '5.10';
