import { isTrue } from '../../api/conditions.ts';
import type { PlacedStatus } from '../../api/ownership.ts';
import { ownedByAgent } from '../../api/ownership.ts';
import type { TermTable } from '../../api/reasons.ts';
import { ApiError } from '../../kube/errors.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { type KubeObject, keyOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type Outcome, recheck, settled } from '../../runtime/outcome.ts';
import { isRetried, outcomeOf, type Refusal, refusalOf } from '../refusal.ts';
import type { StatusWriter } from '../status-writer.ts';
import { conditionsOf, progressVerdicts } from '../verdicts.ts';

/** An object whose data is on one node. */
export interface Removable extends KubeObject {
  readonly status: PlacedStatus;
}

/** What is left of an object on the node after its removal. */
export interface Removed {
  /** What was done, for the log. */
  readonly step: string;
  readonly reason: 'Removed' | 'Retained';
  readonly message: string;
}

/** What differs between the kinds when an object goes. */
export interface RemovalKind<T extends Removable> {
  /** Our finalizer: as long as it is there somebody waits for our word. */
  readonly finalizer: string;
  readonly reasons: Readonly<Record<'CommandFailed' | 'InternalError', unknown>> & TermTable;
  /** A refusal whose reason is one of these types becomes that condition as well. */
  readonly conditionTypes: TermTable;
  /** Types of conditions that are as true of an object that goes as they were before. */
  readonly kept: readonly string[];
  /** What others have to do first, as far as the API server knows it; undefined: nothing. */
  readonly blockers: (object: T) => Promise<Refusal | undefined>;
  /** Makes it so that nothing is left on the node, or what spec wants kept; judged by the disk, safe to repeat. */
  readonly remove: (object: T, signal: AbortSignal) => Promise<Removed>;
  /** Status but for conditions and observedGeneration; `removed` is undefined while the deletion waits. */
  readonly figures: (object: T, removed: Removed | undefined) => T['status'];
  /** What this process remembers of an object that is gone. */
  readonly forget?: (object: T) => void;
}

export interface RemovalContext<T extends Removable> {
  readonly nodeName: string;
  readonly client: Pick<ResourceClient<T>, 'get'>;
  readonly writer: StatusWriter<T>;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

/**
 * How often an object that goes is looked at again at the latest while it is still there. Nothing wakes it for sure: a volume that is
 * deleted as well no longer says when it is well, and somebody may have taken our word out of a status.
 */
const LOOK_AGAIN_MS = 10_000;

/**
 * Nothing is left on the node of an object that is being deleted, and its status says so. The same for all kinds: the object is read
 * anew (rule 8), what others have to do first is named, what is on disk is removed, and the status says how far that is. Status is
 * never asked: each pass proves the removal by the disk again. What the API server refuses is tried again and is no condition.
 */
export async function removeObject<T extends Removable>(
  context: RemovalContext<T>,
  kind: RemovalKind<T>,
  cached: T,
  signal: AbortSignal,
): Promise<Outcome> {
  const { client, events, writer, nodeName } = context;
  const found = await client.get(keyOf(cached), { signal });
  if (found === undefined || !isOursToRemove(found, cached, nodeName)) return settled;
  const object = writer.freshest(found);
  let removed: Removed;
  try {
    const blocked = await kind.blockers(object);
    if (blocked !== undefined) return await wait(context, kind, object, blocked);
    removed = await kind.remove(object, signal);
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
    const outcome = await wait(context, kind, object, refusalOf(error, kind.reasons));
    if (isRetried(error)) throw error;
    return outcome;
  }
  const { reason, message, step } = removed;
  const isNews = !isTrue(object.status.conditions, 'Removed');
  // Asked of the server also if the status reads so: the controller believes it only of this agent.
  await writer.writeAnew(object, statusOf(context, kind, object, removed));
  if (isNews) events.record(object, 'Normal', reason, 'Delete', message);
  writer.forget(keyOf(object));
  kind.forget?.(object);
  // The finalizers of others are no reason to look again.
  if (object.metadata.finalizers?.includes(kind.finalizer) !== true) return settled;
  return recheck(LOOK_AGAIN_MS, isNews ? step : undefined);
}

/** The API server says now that this object, and no other of its name, is being deleted, and that its data is on this node. */
function isOursToRemove({ metadata, status }: Removable, cached: Removable, nodeName: string): boolean {
  return (
    metadata.uid === cached.metadata.uid && metadata.deletionTimestamp !== undefined && status.nodeName === nodeName
  );
}

async function wait<T extends Removable>(
  context: RemovalContext<T>,
  kind: RemovalKind<T>,
  object: T,
  refusal: Refusal,
): Promise<Outcome> {
  await context.writer.write(object, statusOf(context, kind, object, refusal));
  context.events.record(object, 'Warning', refusal.reason, 'Delete', refusal.message);
  return outcomeOf(refusal, LOOK_AGAIN_MS);
}

/** An object that goes is not Ready, for one reason in all kinds; condition Removed says how far it is. */
function statusOf<T extends Removable>(
  { writer, clock }: RemovalContext<T>,
  kind: RemovalKind<T>,
  before: T,
  end: Removed | Refusal,
): T['status'] {
  // The removal may have written: the outcome of a release.
  const object = writer.freshest(before);
  const refusal = 'mendedBy' in end ? end : undefined;
  const { reason, message } = end;
  const { generation } = object.metadata;
  const isType = Object.hasOwn(kind.conditionTypes, reason) && reason !== 'Removed';
  const conditions = conditionsOf<string, string>(
    [
      ['Ready', ['False', 'Deleting', message]],
      ['Removed', [refusal === undefined ? 'True' : 'False', reason, message]],
      ...kind.kept.map((type) => [type, 'as before'] as const),
      ...(isType ? [[reason, ['True', reason, message]] as const] : []),
      ...progressVerdicts(refusal),
    ],
    { previous: object.status.conditions, generation, now: clock.now() },
  );
  const figures = ownedByAgent(kind.figures(object, refusal === undefined ? (end as Removed) : undefined));
  return { ...figures, observedGeneration: generation ?? 0, conditions };
}
