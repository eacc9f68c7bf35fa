import { isDeepStrictEqual } from 'node:util';
import { type Condition, findCondition, isNodeLost } from '../api/conditions.ts';
import { isConflict } from '../kube/errors.ts';
import { mergePatchOf } from '../kube/merge-patch.ts';
import { keyOf } from '../kube/object.ts';
import { createOwnWrites } from '../kube/own-writes.ts';
import type { ResourceClient } from '../kube/resource-client.ts';
import { applyStatus } from './apply-status.ts';
import type { Renewal } from './renewal.ts';
import type { Said, Told } from './said.ts';

export interface StatusWriter<T extends Told> {
  /**
   * The newer of the object in the cache and the one that our last write returned. The agent's part of its status is what this agent
   * has said: a pass takes nothing over that somebody else has written there.
   */
  freshest(cached: T): T;
  /** The object as a pass acts on it, with its newest status: what changed in its spec meanwhile was not acted on yet. */
  actedOn(object: T): T;
  /** The object has this status, as far as it is ours; no request when it has it already. */
  write(object: T, status: T['status']): Promise<void>;
  /** As {@link write}, but asked of the server in any case: a status that reads the same may be somebody else's. */
  writeAnew(object: T, status: T['status']): Promise<void>;
  forget(key: string): void;
  /** What of the object's status is ours. */
  ownedPart(object: T): T['status'];
}

export interface StatusWriterOptions<T extends Told> {
  readonly client: Pick<ResourceClient<T>, 'applyStatus' | 'get' | 'patch'>;
  readonly fieldManager: string;
  /**
   * Others know that this agent lives. Until they do, it says nothing of Ready where the controller has said that the node is lost:
   * each would write over the other's word again and again.
   */
  readonly renewal: Pick<Renewal, 'isRenewed'>;
  readonly said: Said<T>;
}

/** Writes status by server-side apply, once for each change: it remembers what it wrote until the cache has it. */
export function createStatusWriter<T extends Told>(options: StatusWriterOptions<T>): StatusWriter<T> {
  type Status = T['status'];
  const { client, fieldManager, renewal, said } = options;
  const { ownedPart } = said;
  const own = createOwnWrites<T>();
  /** What was given out with another status than the server has, as the server has it. */
  const patched = new Map<string, T>();
  const asOnServer = (object: T): T => {
    const known = own.freshest(object);
    const found = patched.get(keyOf(known));
    return found !== undefined && isSameVersion(found, known) ? found : known;
  };
  const sayable = (known: T, status: Status): Status => {
    const { conditions } = known.status;
    return plain(renewal.isRenewed || !isNodeLost(conditions) ? status : withReadyOf(conditions, status));
  };
  /** Server-side apply leaves what it was never given, whoever wrote it. */
  const withoutForeign = async (answer: T, status: Status): Promise<T> => {
    if (isDeepStrictEqual(ownedPart(answer), status)) return answer;
    const { uid, resourceVersion } = answer.metadata;
    const patch = mergePatchOf(answer.status, besideOthers(status, answer.status, ownedPart(answer)));
    const body = { metadata: { uid, resourceVersion }, status: patch };
    try {
      return await client.patch(keyOf(answer), body, { type: 'merge', subresource: 'status', fieldManager });
    } catch (error) {
      // Changed again meanwhile: the event of that makes another pass.
      if (isConflict(error)) return answer;
      throw error;
    }
  };
  const writeAnew = async (object: T, wanted: Status) => {
    const status = sayable(asOnServer(object), wanted);
    const { name, namespace, uid } = object.metadata;
    // Before the request: its event may come before its answer.
    said.note(object, status);
    try {
      // The uid makes the server refuse the write to a new object of the same name.
      const draft = { metadata: { name, namespace, uid }, status };
      const answer = await applyStatus(client, draft, { fieldManager, ownedPart });
      own.remember(await withoutForeign(answer, status));
    } catch (error) {
      // Whether it was done is not known.
      said.forget(keyOf(object));
      throw error;
    }
  };
  const freshest = (cached: T): T => {
    const known = asOnServer(cached);
    patched.delete(keyOf(known));
    const status = said.in(known);
    if (status === undefined || said.isIn(known)) return known;
    patched.set(keyOf(known), known);
    const { conditions } = known.status;
    const ours = isNodeLost(conditions) ? withReadyOf(conditions, status) : status;
    return { ...known, status: besideOthers(ours, known.status, ownedPart(known)) };
  };
  return {
    freshest,
    actedOn: (object) => ({ ...object, status: freshest(object).status }),
    async write(object, wanted) {
      const known = asOnServer(object);
      const status = sayable(known, wanted);
      if (isDeepStrictEqual(ownedPart(known), status)) said.note(object, status);
      else await writeAnew(object, wanted);
    },
    writeAnew,
    forget(key) {
      own.forget(key);
      patched.delete(key);
      said.forget(key);
    },
    ownedPart,
  };
}

function isSameVersion({ metadata: left }: Told, { metadata: right }: Told): boolean {
  return left.uid === right.uid && left.resourceVersion === right.resourceVersion;
}

/** Our part of a status, beside what others own of the one that was found. */
function besideOthers<Status extends Told['status']>(ours: Status, found: Status, oursInFound: Status): Status {
  const others = Object.entries(found).filter(([field]) => !Object.hasOwn(oursInFound, field));
  const types = new Set(oursInFound.conditions?.map(({ type }) => type));
  const theirs = (found.conditions ?? []).filter(({ type }) => !types.has(type));
  const conditions = [...theirs, ...(ours.conditions ?? [])];
  return { ...ours, ...Object.fromEntries(others), ...(conditions.length === 0 ? {} : { conditions }) };
}

function withReadyOf<Status extends Told['status']>(said: readonly Condition[] | undefined, status: Status): Status {
  const ready = findCondition(said, 'Ready');
  const others = (status.conditions ?? []).filter(({ type }) => type !== 'Ready');
  const index = Math.max(0, status.conditions?.findIndex(({ type }) => type === 'Ready') ?? 0);
  return { ...status, conditions: ready === undefined ? others : others.toSpliced(index, 0, ready) };
}

/** As it comes back from the server: without keys whose value is undefined. */
function plain<Status extends object>(status: Status): Status {
  return JSON.parse(JSON.stringify(status)) as Status;
}
