/** metav1.OwnerReference as Kubernetes writes it. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean | undefined;
  readonly blockOwnerDeletion?: boolean | undefined;
}

/** metav1.ObjectMeta without `managedFields`; instants are RFC 3339 text, as in JSON. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly uid: string;
  /** Opaque: compare for equality only. */
  readonly resourceVersion: string;
  readonly generation?: number | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly finalizers?: readonly string[] | undefined;
  readonly deletionTimestamp?: string | undefined;
  readonly creationTimestamp?: string | undefined;
  readonly ownerReferences?: readonly OwnerReference[] | undefined;
}

/** What every object of the Kubernetes API has. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** By which what belongs to the object goes with it. */
export function ownerReferenceOf({ apiVersion, kind, metadata: { name, uid } }: KubeObject): OwnerReference {
  return { apiVersion, kind, name, uid };
}

/** The key of an object within its kind: `namespace/name`, or `name` if cluster-scoped. */
export function keyOf(object: { readonly metadata: Pick<ObjectMeta, 'name' | 'namespace'> }): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

export interface KeyParts {
  readonly namespace: string | undefined;
  readonly name: string;
}

/** The parts of a key made by {@link keyOf}. */
export function parseKey(key: string): KeyParts {
  const slash = key.indexOf('/');
  if (slash < 0) return { namespace: undefined, name: key };
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** metav1.MicroTime, e.g. `2026-10-20T08:00:00.852000Z`; Leases and Events refuse the three digits of `toISOString`. */
export function formatMicroTime(instant: Date): string {
  return instant.toISOString().replace('Z', '000Z');
}
