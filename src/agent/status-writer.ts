import { isDeepStrictEqual } from 'node:util';
import { type Condition, findCondition, isNodeLost } from '../api/conditions.ts';
import type { KubeObject } from '../kube/object.ts';
import { createOwnWrites } from '../kube/own-writes.ts';
import type { ResourceClient } from '../kube/resource-client.ts';
import { applyStatus } from './apply-status.ts';
import type { Renewal } from './renewal.ts';

export interface StatusWriter<T extends KubeObject, Status> {
  /** The newer of the object in the cache and the one that our last write returned. */
  freshest(cached: T): T;
  /** The object as a pass acts on it, with its newest status: what changed in its spec meanwhile was not acted on yet. */
  actedOn(object: T): T;
  /** The object has this status, as far as it is ours; no request when it has it already. */
  write(object: T, status: Status): Promise<void>;
  /** As {@link write}, but asked of the server in any case: a status that reads the same may be somebody else's. */
  writeAnew(object: T, status: Status): Promise<void>;
  forget(key: string): void;
  /** What of the object's status is ours. */
  ownedPart(object: T): Status;
}

export interface StatusWriterOptions<T extends KubeObject, Status> {
  readonly client: ResourceClient<T>;
  readonly fieldManager: string;
  /** The part of an object's status that this writer owns. */
  readonly ownedPart: (object: T) => Status;
  /**
   * Others know that this agent lives. Until they do, it says nothing of Ready where the controller has said that the node is lost:
   * each would write over the other's word again and again.
   */
  readonly renewal: Pick<Renewal, 'isRenewed'>;
}

interface Judged {
  readonly conditions?: readonly Condition[] | undefined;
}

/** Writes status by server-side apply, once for each change: it remembers what it wrote until the cache has it. */
export function createStatusWriter<T extends KubeObject, Status extends Judged>(
  options: StatusWriterOptions<T, Status>,
): StatusWriter<T, Status> {
  const { fieldManager, ownedPart } = options;
  const own = createOwnWrites<T>();
  const sayable = (known: T, status: Status): Status => {
    const said = options.ownedPart(known).conditions;
    return options.renewal.isRenewed || !isNodeLost(said) ? status : withReadyOf(said, status);
  };
  const writeAnew = async (object: T, wanted: Status) => {
    const status = sayable(own.freshest(object), wanted);
    const { name, namespace, uid } = object.metadata;
    // The uid makes the server refuse the write to a new object of the same name.
    const draft = { metadata: { name, namespace, uid }, status };
    own.remember(await applyStatus(options.client, draft, { fieldManager, ownedPart }));
  };
  return {
    freshest: own.freshest,
    actedOn: (object) => Object.assign({}, object, { status: statusIn(own.freshest(object)) }),
    async write(object, status) {
      const known = own.freshest(object);
      if (!isDeepStrictEqual(options.ownedPart(known), plain(sayable(known, status)))) await writeAnew(object, status);
    },
    writeAnew,
    forget: own.forget,
    ownedPart: options.ownedPart,
  };
}

function withReadyOf<Status extends Judged>(said: Judged['conditions'], status: Status): Status {
  const ready = findCondition(said, 'Ready');
  const others = (status.conditions ?? []).filter(({ type }) => type !== 'Ready');
  const index = Math.max(0, status.conditions?.findIndex(({ type }) => type === 'Ready') ?? 0);
  return { ...status, conditions: ready === undefined ? others : others.toSpliced(index, 0, ready) };
}

/** As it comes back from the server: without keys whose value is undefined. */
function plain(status: object): unknown {
  return JSON.parse(JSON.stringify(status));
}

function statusIn(object: object): unknown {
  return 'status' in object ? object.status : undefined;
}
