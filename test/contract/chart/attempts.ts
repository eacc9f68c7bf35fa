import type { ApiRequest } from '../../cluster/api.ts';
import { NAMESPACE } from './chart.ts';

/** Something that somebody may try with an object; of writes a dry run. */
export interface Attempt {
  readonly verb: string;
  readonly object: string;
  readonly path: string;
  readonly request?: ApiRequest;
}

/** All placed objects are on this node, and so is the agent whose things are tried. */
export const NODE = 'node-a';
export const OTHER_NODE = 'node-b';
/** A namespace of a user. */
export const TENANT = 'tenant';
/** Objects in that namespace: one that is on the node, and one that has none yet. */
export const PLACED = 'placed';
export const UNPLACED = 'unplaced';

export const placedKinds = {
  LoopbackVolume: { plural: 'loopbackvolumes', spec: { size: '1Gi' } },
  Snapshot: { plural: 'snapshots', spec: { volumeRef: { name: PLACED }, source: { volume: {} } } },
  BuildCache: { plural: 'buildcaches', spec: { volumeRef: { name: PLACED } } },
  BuildCacheClaim: { plural: 'buildcacheclaims', spec: { cacheRef: { name: PLACED } } },
} as const;

const JSON_PATCH = 'application/json-patch+json';
const APPLY_PATCH = 'application/apply-patch+yaml';

export const groupPath = '/apis/btrfs-operator.io/v1alpha1';
const operatorPath = `/api/v1/namespaces/${NAMESPACE}`;
const leasesPath = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
export const requestsPath = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
export const eventsPath = `/apis/events.k8s.io/v1/namespaces/${TENANT}/events`;

const patch = (body: unknown, contentType?: string): ApiRequest => ({
  method: 'PATCH',
  body,
  ...(contentType === undefined ? {} : { contentType }),
});
const post = (body: unknown): ApiRequest => ({ method: 'POST', body });
const remove: ApiRequest = { method: 'DELETE' };

function reads(object: string, collection: string, name: string): Attempt[] {
  const only = `fieldSelector=metadata.name%3D${name}`;
  return [
    { verb: 'get', object, path: `${collection}/${name}` },
    { verb: 'list', object, path: `${collection}?${only}` },
    { verb: 'watch', object, path: `${collection}?${only}&watch=1&timeoutSeconds=1` },
  ];
}

const finalizer = (name: string) => [{ op: 'add', path: '/metadata/finalizers', value: [name] }];

function placedKindAttempts(object: string, { plural, spec }: { plural: string; spec: object }): Attempt[] {
  const collection = `${groupPath}/namespaces/${TENANT}/${plural}`;
  const placed = `${collection}/${PLACED}`;
  const body = { apiVersion: 'btrfs-operator.io/v1alpha1', kind: object, metadata: { name: 'new' }, spec };
  const conditions = [{ type: 'Ready', status: 'True', reason: 'Ready', message: '', lastTransitionTime: SOME_TIME }];
  return [
    ...reads(object, collection, PLACED),
    { verb: 'create', object, path: collection, request: post(body) },
    { verb: 'delete', object, path: placed, request: remove },
    { verb: 'delete all', object, path: collection, request: remove },
    { verb: 'change the labels', object, path: placed, request: patch({ metadata: { labels: { a: 'b' } } }) },
    {
      verb: 'set a finalizer of ours',
      object,
      path: placed,
      request: patch(finalizer('btrfs-operator.io/some'), JSON_PATCH),
    },
    {
      verb: 'set a finalizer of others',
      object,
      path: placed,
      request: patch(finalizer('example.com/some'), JSON_PATCH),
    },
    { verb: 'write the status', object, path: `${placed}/status`, request: patch({ status: { conditions } }) },
    {
      verb: 'place on a node',
      object,
      path: `${collection}/${UNPLACED}/status`,
      request: patch({ status: { nodeName: NODE } }),
    },
  ];
}

const SOME_TIME = '2026-01-01T00:00:00Z';

function nodeAttempts(): Attempt[] {
  const object = 'BtrfsNode of the node';
  const collection = `${groupPath}/btrfsnodes`;
  const body = { apiVersion: 'btrfs-operator.io/v1alpha1', kind: 'BtrfsNode', metadata: { name: NODE } };
  return [
    ...reads(object, collection, NODE),
    { verb: 'create', object, path: collection, request: post(body) },
    {
      verb: 'create with a finalizer',
      object,
      path: collection,
      request: post({ ...body, metadata: { name: NODE, finalizers: ['example.com/some'] } }),
    },
    { verb: 'write the status', object, path: `${collection}/${NODE}/status`, request: patch({ status: {} }) },
    {
      verb: 'change the labels',
      object,
      path: `${collection}/${NODE}`,
      request: patch({ metadata: { labels: { a: 'b' } } }),
    },
    { verb: 'delete', object, path: `${collection}/${NODE}`, request: remove },
  ];
}

/** Of the agent by server-side apply, which creates what is not there. */
export function leaseAttempts(object: string, name: string, holder: string): Attempt[] {
  const apply = (holderIdentity: string) => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name },
    spec: { holderIdentity, leaseDurationSeconds: 40 },
  });
  const query = 'fieldManager=test&force=true';
  return [
    ...reads(object, leasesPath, name),
    { verb: 'create', object, path: leasesPath, request: post(apply(holder)) },
    { verb: 'apply', object, path: `${leasesPath}/${name}?${query}`, request: patch(apply(holder), APPLY_PATCH) },
    { verb: 'update', object, path: `${leasesPath}/${name}`, request: { method: 'PUT', body: apply(holder) } },
    { verb: 'delete', object, path: `${leasesPath}/${name}`, request: remove },
  ];
}

function authorityAttempts(): Attempt[] {
  const name = 'btrfs-operator-transfer-ca';
  const kinds = [
    ['Secret', 'secrets'],
    ['ConfigMap', 'configmaps'],
  ] as const;
  return kinds.flatMap(([kind, plural]) => {
    const collection = `${operatorPath}/${plural}`;
    const body = (objectName: string) => ({ apiVersion: 'v1', kind, metadata: { name: objectName } });
    const ours = `${kind} of the authority`;
    const other = `other ${kind} in the namespace of the operator`;
    const elsewhere = `${kind} in another namespace`;
    const annotations = { 'kubernetes.io/service-account.name': 'btrfs-operator-agent' };
    const asToken = { ...body(name), metadata: { name, annotations }, type: 'kubernetes.io/service-account-token' };
    const tokenAttempt = {
      verb: 'create for a token',
      object: ours,
      path: collection,
      request: post(asToken),
    };
    return [
      ...reads(ours, collection, name),
      { verb: 'create', object: ours, path: collection, request: post(body(name)) },
      ...(kind === 'Secret' ? [tokenAttempt] : []),
      { verb: 'update', object: ours, path: `${collection}/${name}`, request: { method: 'PUT', body: body(name) } },
      {
        verb: 'apply',
        object: ours,
        path: `${collection}/${name}?fieldManager=test`,
        request: patch(body(name), APPLY_PATCH),
      },
      { verb: 'delete', object: ours, path: `${collection}/${name}`, request: remove },
      ...reads(other, collection, 'other'),
      { verb: 'create', object: other, path: collection, request: post(body('new')) },
      { verb: 'change', object: other, path: `${collection}/other`, request: patch({ data: {} }) },
      ...reads(elsewhere, `/api/v1/namespaces/${TENANT}/${plural}`, 'other'),
      { verb: 'create', object: elsewhere, path: `/api/v1/namespaces/${TENANT}/${plural}`, request: post(body('new')) },
    ];
  });
}

export interface RequestBodies {
  /** PEM in base64. */
  readonly signingRequest: string;
  readonly certificate: string;
}

/** `name` is that of a request that is there. */
function requestAttempts(object: string, name: string, signerName: string, bodies: RequestBodies): Attempt[] {
  const path = `${requestsPath}/${name}`;
  const verdict = { type: 'Approved', status: 'True', reason: 'Test', message: '' };
  return [
    ...reads(object, requestsPath, name),
    { verb: 'create', object, path: requestsPath, request: post(signingRequest('new', signerName, bodies)) },
    { verb: 'approve', object, path: `${path}/approval`, request: patch({ status: { conditions: [verdict] } }) },
    {
      verb: 'sign',
      object,
      path: `${path}/status`,
      request: patch({ status: { certificate: bodies.certificate } }),
    },
    { verb: 'change the labels', object, path, request: patch({ metadata: { labels: { a: 'b' } } }) },
    { verb: 'delete', object, path, request: remove },
  ];
}

export function signingRequest(name: string, signerName: string, { signingRequest: request }: RequestBodies): object {
  const usages = ['digital signature', 'client auth', 'server auth'];
  return { metadata: { name }, spec: { request, signerName, usages } };
}

export const OUR_SIGNER = 'btrfs-operator.io/transfer';
export const OTHER_SIGNER = 'example.com/other';

/** An event as the agent of `nodeName` reports it. */
export function eventOf(name: string, nodeName: string, regarding: object): object {
  return {
    metadata: { namespace: TENANT, name },
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'btrfs-operator.io/agent',
    reportingInstance: nodeName,
    type: 'Normal',
    reason: 'Test',
    action: 'Test',
    note: '',
    regarding: { ...regarding, namespace: TENANT, name: PLACED },
  };
}

export const ourObject = { apiVersion: 'btrfs-operator.io/v1alpha1', kind: 'LoopbackVolume' };

function eventAttempts(): Attempt[] {
  const own = 'Event of the agent about our objects';
  const core = { apiVersion: 'v1', kind: 'Pod' };
  return [
    { verb: 'create', object: own, path: eventsPath, request: post(eventOf('new', NODE, ourObject)) },
    { verb: 'count', object: own, path: `${eventsPath}/own`, request: patch({ metadata: { labels: { a: 'b' } } }) },
    {
      verb: 'create',
      object: 'Event of the agent about a Pod',
      path: eventsPath,
      request: post(eventOf('new', NODE, core)),
    },
    ...reads(own, eventsPath, 'own'),
    { verb: 'delete', object: own, path: `${eventsPath}/own`, request: remove },
  ];
}

function surroundings(): Attempt[] {
  const pods = `/api/v1/namespaces/${TENANT}/pods`;
  const pod = { metadata: { name: 'new' }, spec: { containers: [{ name: 'main', image: 'none' }] } };
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const binding = {
    metadata: { name: 'new' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'new' }],
  };
  const token = { spec: { expirationSeconds: 600 } };
  const policies = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
  return [
    ...reads('Node', '/api/v1/nodes', NODE),
    { verb: 'change the labels', object: 'Node', path: `/api/v1/nodes/${NODE}`, request: patch({ metadata: {} }) },
    ...reads('Namespace', '/api/v1/namespaces', TENANT),
    ...reads('Pod', pods, 'some'),
    { verb: 'create', object: 'Pod', path: pods, request: post(pod) },
    { verb: 'exec', object: 'Pod', path: `${pods}/some/exec?command=id`, request: post({}) },
    { verb: 'delete', object: 'Pod', path: `${pods}/some`, request: remove },
    {
      verb: 'make a token',
      object: 'ServiceAccount',
      path: `${operatorPath}/serviceaccounts/btrfs-operator-controller/token`,
      request: post(token),
    },
    { verb: 'create', object: 'ClusterRoleBinding', path: `${rbac}/clusterrolebindings`, request: post(binding) },
    {
      verb: 'delete',
      object: 'ValidatingAdmissionPolicy',
      path: `${policies}/btrfs-operator-agent-objects`,
      request: remove,
    },
    {
      verb: 'delete',
      object: 'CustomResourceDefinition',
      path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/loopbackvolumes.btrfs-operator.io',
      request: remove,
    },
  ];
}

/** Everything that is tried, by each who asks. */
export function allAttempts(bodies: RequestBodies): readonly Attempt[] {
  return [
    ...Object.entries(placedKinds).flatMap(([kind, what]) => placedKindAttempts(kind, what)),
    ...nodeAttempts(),
    ...leaseAttempts('Lease of the agent', `btrfs-operator-agent-${NODE}`, NODE),
    ...leaseAttempts('Lease of the controllers', 'btrfs-operator-controller', 'some'),
    ...authorityAttempts(),
    ...requestAttempts('CertificateSigningRequest to our signer', 'ours', OUR_SIGNER, bodies),
    ...requestAttempts('CertificateSigningRequest to another signer', 'theirs', OTHER_SIGNER, bodies),
    ...eventAttempts(),
    ...surroundings(),
  ];
}
