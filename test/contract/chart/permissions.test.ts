import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { agentLeaseName } from '../../../src/api/group.ts';
import { createKeyPair } from '../../../src/net/certificates/keys.ts';
import { nodeUri } from '../../../src/net/certificates/node-uri.ts';
import { createSigningRequest } from '../../../src/net/certificates/signing-request.ts';
import { createTestAuthority } from '../../builders/certificates.ts';
import { type ApiAccess, type ApiRequest, type ApiResponse, callApi } from '../../cluster/api.ts';
import { type Audit, createAudit, openAudit } from '../../cluster/audit.ts';
import { type ControlPlane, startControlPlane } from '../../cluster/control-plane.ts';
import { createControllerToken, createNodeToken, createToken } from '../../cluster/operator-identity.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import {
  type Attempt,
  allAttempts,
  eventOf,
  eventsPath,
  groupPath,
  leaseAttempts,
  NODE,
  OTHER_NODE,
  OTHER_SIGNER,
  OUR_SIGNER,
  ourObject,
  PLACED,
  placedKinds,
  requestsPath,
  signingRequest,
  TENANT,
  UNPLACED,
} from './attempts.ts';
import { NAMESPACE, objectsOf, renderChart } from './chart.ts';
import { type Answer, matrixTable, type Row } from './matrix.ts';

const docPath = path.resolve(import.meta.dirname, '../../../docs/security.md');
const BEGIN = '<!-- who may do what: begin -->\n';
/** Of the API server, for a Node as for other objects. */
const MAX_NODE_NAME = 253;
const END = '\n<!-- who may do what: end -->';

let audit: Audit;
let controlPlane: ControlPlane;
/** Name in the table → access. */
const askers = new Map<string, ApiAccess>();

const encoded = (pem: string) => Buffer.from(pem).toString('base64');
const bodies = {
  signingRequest: encoded(createSigningRequest(NODE, nodeUri(NODE), createKeyPair())),
  certificate: encoded(createTestAuthority().identityOf(NODE).certificatePem),
};

beforeAll(async () => {
  const { apiServerArgs, logPath } = createAudit(mkdtempSync(path.join(tmpdir(), 'audit-')));
  audit = openAudit(logPath);
  controlPlane = await startControlPlane({ assetsDir: inject('assetsDir'), apiServerArgs });
  await post('/api/v1/namespaces', { metadata: { name: NAMESPACE } });
  await post('/api/v1/namespaces', { metadata: { name: TENANT } });
  const manifest = renderChart();
  const apply = ['apply', '--server-side', '--validate=strict', '--filename=-'];
  await controlPlane.kubectl(apply, { stdin: manifest });
  await controlPlane.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
  await Promise.all([createObjects(), createAskers(manifest)]);
  await rolesAndPoliciesInEffect();
}, 120_000);
afterAll(() => controlPlane?.stop());

async function post(apiPath: string, body: unknown): Promise<void> {
  const answer = await callApi(controlPlane, apiPath, { method: 'POST', body });
  if (answer.status !== 201) throw new Error(`POST ${apiPath}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

async function createObjects(): Promise<void> {
  const apiVersion = 'btrfs-operator.io/v1alpha1';
  const placed = Object.entries(placedKinds).map(async ([kind, { plural, spec }]) => {
    const collection = `${groupPath}/namespaces/${TENANT}/${plural}`;
    await post(collection, { apiVersion, kind, metadata: { name: PLACED }, spec });
    await post(collection, { apiVersion, kind, metadata: { name: UNPLACED }, spec });
    await callApi(controlPlane, `${collection}/${PLACED}/status`, {
      method: 'PATCH',
      body: { status: { nodeName: NODE } },
    });
  });
  const pod = { metadata: { name: 'some' }, spec: { nodeName: NODE, containers: [{ name: 'main', image: 'none' }] } };
  const lease = (name: string, holderIdentity: string) =>
    post(`/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`, {
      metadata: { name },
      spec: { holderIdentity },
    });
  await Promise.all([
    ...placed,
    post(`${groupPath}/btrfsnodes`, { apiVersion, kind: 'BtrfsNode', metadata: { name: NODE } }),
    post('/api/v1/nodes', { metadata: { name: NODE } }),
    post(`/api/v1/namespaces/${TENANT}/pods`, pod),
    lease(`btrfs-operator-agent-${NODE}`, NODE),
    lease('btrfs-operator-controller', 'some'),
    ...['secrets', 'configmaps'].flatMap((plural) => [
      post(`/api/v1/namespaces/${NAMESPACE}/${plural}`, { metadata: { name: 'btrfs-operator-transfer-ca' } }),
      post(`/api/v1/namespaces/${NAMESPACE}/${plural}`, { metadata: { name: 'other' } }),
      post(`/api/v1/namespaces/${TENANT}/${plural}`, { metadata: { name: 'other' } }),
    ]),
    post(requestsPath, signingRequest('ours', OUR_SIGNER, bodies)),
    post(requestsPath, signingRequest('theirs', OTHER_SIGNER, bodies)),
    post(eventsPath, eventOf('own', NODE, ourObject)),
  ]);
}

/** Whoever has one of the cluster's roles has what is aggregated to it; the built-in part of those roles is not looked at. */
async function createAskers(manifest: string): Promise<void> {
  const options = { access: controlPlane, namespace: NAMESPACE };
  const agent = 'btrfs-operator-agent';
  const add = (name: string, token: string) => askers.set(name, { ...controlPlane, token });
  add('controller', await createControllerToken(options));
  add('agent of the node', await createNodeToken({ ...options, nodeName: NODE }));
  add('agent of another node', await createNodeToken({ ...options, nodeName: OTHER_NODE }));
  add("agent's account, no pod", await createToken(options, agent));
  for (const role of ['view', 'edit', 'admin']) {
    const label = `rbac.authorization.k8s.io/aggregate-to-${role}`;
    const aggregated = objectsOf(manifest).filter(({ kind, metadata }) => {
      return kind === 'ClusterRole' && metadata.labels[label] === 'true';
    });
    expect(aggregated, label).not.toHaveLength(0);
    for (const { metadata } of aggregated) await bindUser(role, metadata.name);
    add(role, await createToken({ ...options, namespace: TENANT }, role));
  }
  add('any other account', await createToken({ ...options, namespace: TENANT }, 'nobody'));
}

const bindUser = (name: string, clusterRole: string) =>
  post('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: `${name}-${clusterRole}` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: clusterRole },
    subjects: [{ kind: 'ServiceAccount', namespace: TENANT, name }],
  });

const attempts = allAttempts(bodies);

function accessOf(asker: string): ApiAccess {
  const access = askers.get(asker);
  if (access === undefined) throw new Error(`nobody is ${asker}`);
  return access;
}

/** The API server learns of roles, bindings and policies by watches of its own, which may take a second. */
async function rolesAndPoliciesInEffect(): Promise<void> {
  const firstOf = (asker: string, verb: string, object: string, expected: Answer) =>
    waitFor(async () => (await answerTo(asker, attemptOf(verb, object))) === expected, {
      what: `${asker}: ${verb} ${object}: ${expected}`,
      timeoutMs: 20_000,
    });
  await Promise.all([
    firstOf('controller', 'get', 'Secret of the authority', 'yes'),
    firstOf('controller', 'set a finalizer of others', 'Snapshot', 'policy'),
    firstOf('controller', 'delete', 'CertificateSigningRequest to another signer', 'policy'),
    firstOf('controller', 'create', 'other Secret in the namespace of the operator', 'policy'),
    firstOf('controller', 'create', 'Lease of the agent', 'policy'),
    firstOf('agent of another node', 'write the status', 'BuildCacheClaim', 'policy'),
    firstOf('agent of another node', 'write the status', 'BtrfsNode of the node', 'policy'),
    firstOf('agent of another node', 'apply', 'Lease of the agent', 'policy'),
    firstOf('agent of another node', 'create', 'Event of the agent about our objects', 'policy'),
    firstOf('agent of the node', 'create', 'CertificateSigningRequest to another signer', 'policy'),
    firstOf('agent of the node', 'list', 'ConfigMap of the authority', 'yes'),
    firstOf('agent of the node', 'list', 'Pod', 'yes'),
    ...['view', 'edit', 'admin'].map((role) => firstOf(role, 'get', 'Snapshot', 'yes')),
    ...['edit', 'admin'].map((role) => firstOf(role, 'create', 'Snapshot', 'yes')),
  ]);
}

function attemptOf(verb: string, object: string): Attempt {
  const found = attempts.find((attempt) => attempt.verb === verb && attempt.object === object);
  if (found === undefined) throw new Error(`nobody tries ${verb} ${object}`);
  return found;
}

async function answerTo(asker: string, attempt: Attempt): Promise<Answer> {
  const request = await upToDate(attempt);
  const response = await callApi(accessOf(asker), dryRun(attempt), request);
  const { status } = response;
  if (status >= 200 && status < 300) return 'yes';
  // Both were asked before the API server looked whether there is one already.
  if (status === 409 && request.method === 'POST' && response.body.reason === 'AlreadyExists') return 'yes';
  if (status === 403) return isOfPolicy(response) ? 'policy' : 'no';
  throw new Error(`${asker}, ${attempt.verb} ${attempt.object}: ${status} ${JSON.stringify(response.body)}`);
}

/** The body of an update has the version that is there. */
async function upToDate({ path: apiPath, request = {} }: Attempt): Promise<ApiRequest> {
  if (request.method !== 'PUT') return request;
  const { resourceVersion } = (await callApi(controlPlane, apiPath)).body.metadata;
  const { metadata, ...body } = request.body as { metadata: object };
  return { ...request, body: { ...body, metadata: { ...metadata, resourceVersion } } };
}

/** In the order of the attempts; a few at once, as the API server takes no more. */
async function answersTo(asker: string): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let at = 0; at < attempts.length; at += AT_ONCE) {
    const some = attempts.slice(at, at + AT_ONCE);
    answers.push(...(await Promise.all(some.map((attempt) => answerTo(asker, attempt)))));
  }
  return answers;
}

const AT_ONCE = 10;

const isOfPolicy = ({ body }: ApiResponse) => String(body.message).includes('ValidatingAdmissionPolicy');

function dryRun({ path: apiPath, request = {} }: Attempt): string {
  if ((request.method ?? 'GET') === 'GET') return apiPath;
  return `${apiPath}${apiPath.includes('?') ? '&' : '?'}dryRun=All`;
}

describe('who may do what', () => {
  it('is as docs/security.md says, tried one by one', async () => {
    const names = [...askers.keys()];
    const answers = await Promise.all(names.map(answersTo));
    const rows = attempts.map(({ verb, object }, index): Row => {
      return { verb, object, answers: answers.map((ofAsker) => ofAsker[index] ?? 'no') };
    });
    const matrix = matrixTable(names, rows);
    console.log(matrix);
    expect(matrix).toBe(readFileSync(docPath, 'utf8').split(BEGIN)[1]?.split(END)[0]);
  });

  it('is told by the audit log, by which other tests see what the operator was refused', async () => {
    const before = audit.refusals().length;
    expect(await answerTo('agent of the node', attemptOf('get', 'Secret of the authority'))).toBe('no');
    expect(await answerTo('agent of the node', attemptOf('place on a node', 'Snapshot'))).toBe('policy');
    expect(await answerTo('agent of the node', attemptOf('get', 'Snapshot'))).toBe('yes');
    const agent = `system:serviceaccount:${NAMESPACE}:btrfs-operator-agent`;
    expect(audit.refusals().slice(before)).toEqual([
      expect.stringContaining(`${agent} get secrets ${NAMESPACE}/btrfs-operator-transfer-ca`),
      expect.stringContaining(`${agent} patch snapshots.btrfs-operator.io/status ${TENANT}/${UNPLACED}`),
    ]);
  });

  it('is the same for agents on nodes whose names are too long for Leases and Events', async () => {
    const long = 'n'.repeat(MAX_NODE_NAME);
    const other = `${long.slice(0, -1)}o`;
    const options = { access: controlPlane, namespace: NAMESPACE };
    askers.set('long', { ...controlPlane, token: await createNodeToken({ ...options, nodeName: long }) });
    const applyLease = (name: string, holder: string) => {
      const attempt = leaseAttempts('Lease', name, holder).find(({ verb }) => verb === 'apply');
      if (attempt === undefined) throw new Error('nobody applies a Lease');
      return answerTo('long', attempt);
    };
    const report = (nodeName: string): Promise<Answer> => {
      const request = { method: 'POST', body: eventOf('new', nodeName.slice(0, 128), ourObject) } as const;
      return answerTo('long', { verb: 'create', object: 'Event', path: eventsPath, request });
    };
    expect(await applyLease(agentLeaseName(long), long)).toBe('yes');
    expect(await applyLease(agentLeaseName(long), other)).toBe('policy');
    expect(await applyLease(agentLeaseName(NODE), long)).toBe('policy');
    expect(await report(long)).toBe('yes');
    expect(await report(NODE)).toBe('policy');
  });
});
