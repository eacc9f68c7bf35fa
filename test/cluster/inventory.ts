import { type ApiAccess, callApi } from './api.ts';

/** The resourceVersion of each object by its path, without what belongs to the API server itself. */
export type Inventory = ReadonlyMap<string, string>;

interface Listed {
  readonly path: string;
  readonly resourceVersion: string;
  readonly finalizers: readonly string[];
}

interface Resource {
  readonly name: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

/** The API server makes these by itself, and some of them again and again. */
const GROUPS_OF_API_SERVER = [
  'apiregistration.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'networking.k8s.io',
  'discovery.k8s.io',
];
const NAMESPACES_OF_API_SERVER = ['kube-system', 'kube-public', 'kube-node-lease'];

const ROUNDS = 10;

export async function takeInventory(access: ApiAccess): Promise<Inventory> {
  return inventoryOf(await listAll(access));
}

/** Deletes what is not in the inventory, whoever holds it. Throws if that fails, or if something of the inventory was changed. */
export async function restoreInventory(access: ApiAccess, inventory: Inventory): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) {
    const objects = await listAll(access);
    const found = inventoryOf(objects);
    const changed = [...inventory].find(([path, resourceVersion]) => found.get(path) !== resourceVersion);
    if (changed !== undefined) throw new Error(`${changed[0]} was changed`);
    const added = objects.filter(({ path }) => !inventory.has(path));
    if (added.length === 0) return;
    // Namespaces last: in one that is gone nothing can be changed any more.
    const content = added.filter(({ path }) => namespaceOf(path) === undefined);
    await Promise.all((content.length > 0 ? content : added).map((object) => remove(access, object)));
  }
  throw new Error('what was made comes back');
}

function inventoryOf(objects: readonly Listed[]): Inventory {
  return new Map(objects.map(({ path, resourceVersion }) => [path, resourceVersion]));
}

async function listAll(access: ApiAccess): Promise<Listed[]> {
  const { groups } = await get(access, '/apis');
  const versions = (groups as { name: string; preferredVersion: { groupVersion: string } }[])
    .filter(({ name }) => !GROUPS_OF_API_SERVER.includes(name))
    .map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`);
  const lists = await Promise.all(['/api/v1', ...versions].map((version) => listVersion(access, version)));
  return lists.flat();
}

async function listVersion(access: ApiAccess, version: string): Promise<Listed[]> {
  const { resources } = await get(access, version);
  const kept = (resources as Resource[]).filter(({ verbs }) => verbs.includes('list') && verbs.includes('delete'));
  const lists = await Promise.all(
    kept.map(async ({ name, namespaced }) => {
      const { items } = await get(access, `${version}/${name}`);
      return (items as { metadata: ObjectMeta }[])
        .filter(({ metadata }) => !isOfApiServer(name, metadata))
        .map(({ metadata }) => ({
          path: `${version}${namespaced ? `/namespaces/${metadata.namespace}` : ''}/${name}/${metadata.name}`,
          resourceVersion: metadata.resourceVersion,
          finalizers: metadata.finalizers ?? [],
        }));
    }),
  );
  return lists.flat();
}

interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly resourceVersion: string;
  readonly finalizers?: string[];
}

function isOfApiServer(resource: string, { name, namespace = '' }: ObjectMeta): boolean {
  return NAMESPACES_OF_API_SERVER.includes(resource === 'namespaces' ? name : namespace);
}

async function remove(access: ApiAccess, { path, finalizers }: Listed): Promise<void> {
  const body = { gracePeriodSeconds: 0, propagationPolicy: 'Background' };
  await callApi(access, path, { method: 'DELETE', body });
  // In this order: what is being deleted gets no finalizer any more.
  if (finalizers.length > 0) await callApi(access, path, { method: 'PATCH', body: { metadata: { finalizers: null } } });
  const namespace = namespaceOf(path);
  if (namespace === undefined) return;
  const finalized = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace }, spec: { finalizers: [] } };
  await callApi(access, `${path}/finalize`, { method: 'PUT', body: finalized });
}

/** The name of the namespace that has this path; undefined for other objects. */
function namespaceOf(path: string): string | undefined {
  return /^\/api\/v1\/namespaces\/([^/]+)$/.exec(path)?.[1];
}

async function get(access: ApiAccess, path: string) {
  const { status, body } = await callApi(access, path);
  if (status !== 200) throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
  return body;
}
