import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type ApiAccess, callApi } from './api.ts';
import { waitFor } from './wait-for.ts';

const manifestPath = path.resolve(import.meta.dirname, '../../charts/btrfs-operator.yaml');
/** The one that the manifest is for. */
const NAMESPACE = 'btrfs-operator';

/** Path of the collection for each kind that says who may do what. */
const collections: Readonly<Record<string, (namespace: string) => string>> = {
  ServiceAccount: (namespace) => `/api/v1/namespaces/${namespace}/serviceaccounts`,
  ClusterRole: () => '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: () => '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  Role: (namespace) => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`,
  RoleBinding: (namespace) => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`,
  ValidatingAdmissionPolicy: () => '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: () => '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
};

export interface RolesOptions {
  readonly access: ApiAccess;
  /** Of the operator; has to exist. */
  readonly namespace: string;
}

/**
 * Service accounts, roles and admission policies are those that the chart installs, in effect for an operator in this
 * namespace. One operator for each cluster. Safe to repeat.
 */
export async function installOperatorRoles({ access, namespace }: RolesOptions): Promise<void> {
  const documents = parseAllDocuments(readFileSync(manifestPath, 'utf8')).map((document) => document.toJS());
  await Promise.all(
    documents.map(async (object) => {
      const collection = collections[object.kind]?.(namespace);
      if (collection !== undefined) await ensure(access, collection, movedTo(namespace, object));
    }),
  );
  await Promise.all([
    inEffect(access, `system:serviceaccount:${namespace}:btrfs-operator-agent`, [
      { verb: 'list', resource: 'pods' },
      { verb: 'patch', group: 'coordination.k8s.io', resource: 'leases', namespace },
    ]),
    inEffect(access, `system:serviceaccount:${namespace}:btrfs-operator-controller`, [
      { verb: 'list', resource: 'nodes' },
      { verb: 'create', group: 'coordination.k8s.io', resource: 'leases', namespace },
    ]),
  ]);
}

/** The service account may do everything: for who is to be refused by the operator, not by the API server. */
export async function grantEverything({ access, namespace }: RolesOptions, serviceAccount: string): Promise<void> {
  await ensure(access, '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: `${serviceAccount}-${namespace}-everything` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace, name: serviceAccount }],
  });
  await inEffect(access, `system:serviceaccount:${namespace}:${serviceAccount}`, [{ verb: '*', resource: '*' }]);
}

/** The same object for an operator in another namespace. */
function movedTo(namespace: string, object: object): object {
  const text = JSON.stringify(object)
    .replaceAll(`"namespace":"${NAMESPACE}"`, `"namespace":"${namespace}"`)
    .replaceAll(`system:serviceaccount:${NAMESPACE}:`, `system:serviceaccount:${namespace}:`);
  return JSON.parse(text);
}

async function ensure(access: ApiAccess, collection: string, body: object): Promise<void> {
  const answer = await callApi(access, collection, { method: 'POST', body });
  if (answer.status === 201 || answer.status === 409) return;
  throw new Error(`POST ${collection}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

interface Right {
  readonly verb: string;
  readonly group?: string;
  readonly resource: string;
  readonly namespace?: string;
}

/** The API server learns of roles and bindings by watches of its own. */
async function inEffect(access: ApiAccess, user: string, rights: readonly Right[]): Promise<void> {
  const collection = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
  for (const resourceAttributes of rights) {
    const isAllowed = async () => {
      const answer = await callApi(access, collection, {
        method: 'POST',
        body: { spec: { user, resourceAttributes } },
      });
      return answer.body.status?.allowed === true;
    };
    await waitFor(isAllowed, { what: `${user} may ${resourceAttributes.verb} ${resourceAttributes.resource}` });
  }
}
