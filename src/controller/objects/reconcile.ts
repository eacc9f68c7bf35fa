import { agentManager, CONTROLLER_MANAGER } from '../../api/group.ts';
import { whyLeftAlone } from '../../api/parse.ts';
import { isConflict, isNotFound } from '../../kube/errors.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { keyOf } from '../../kube/object.ts';
import { createOwnWrites } from '../../kube/own-writes.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type Outcome, recheck, settled, settledAfter, waiting } from '../../runtime/outcome.ts';
import type { Cluster } from '../cluster.ts';
import { lostPatch } from '../lost-patch.ts';
import { type JsonPatch, patchTested } from '../tested-patch.ts';
import { isRemovedByAgent, withoutWord } from './agents-word.ts';
import { type Decision, decideObject, saysLost } from './decide.ts';
import { addFinalizerPatch, removeFinalizerPatch } from './finalizer.ts';
import type { PlacedKind, PlacedObject } from './placed-kind.ts';
import { placedOn, type ScheduledUpdate, saysScheduled, scheduledStatus } from './status.ts';

export interface ObjectReconcileOptions<T extends PlacedObject> {
  readonly kind: PlacedKind<T>;
  readonly cluster: Cluster;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

// Changes of nodes and volumes wake those that wait; this is for a change that was missed.
const SAFETY_NET_MS = 600_000;
// The wall clock may be set while a pass waits for an hour of it.
const MAX_EXPIRY_WAIT_MS = 600_000;
// The event of the newer version is usually here before.
const CONFLICT_MS = 500;

/** The part of the controller in the life of objects whose data is on a node: finalizer, place, lost nodes, end of time. */
export function createObjectReconcile<T extends PlacedObject>(options: ObjectReconcileOptions<T>) {
  const pass = new ObjectPass(options);
  return (key: string, signal: AbortSignal): Promise<Outcome> => pass.run(key, signal);
}

class ObjectPass<T extends PlacedObject> {
  readonly #kind: PlacedKind<T>;
  readonly #cluster: Cluster;
  readonly #events: EventRecorder;
  readonly #clock: Clock;
  readonly #own = createOwnWrites<T>();

  constructor({ kind, cluster, events, clock }: ObjectReconcileOptions<T>) {
    this.#kind = kind;
    this.#cluster = cluster;
    this.#events = events;
    this.#clock = clock;
  }

  async run(key: string, signal: AbortSignal): Promise<Outcome> {
    const cached = this.#kind.cached(key);
    if (cached === undefined) {
      this.#own.forget(key);
      return settled;
    }
    try {
      return await this.#advance(this.#own.freshest(cached), signal);
    } catch (error) {
      // Looked at in a version that is no longer the current one, or gone.
      this.#own.forget(key);
      if (isConflict(error) || isNotFound(error)) return recheck(CONFLICT_MS);
      throw error;
    }
  }

  async #advance(object: T, signal: AbortSignal): Promise<Outcome> {
    const decision = this.#decide(object);
    if (decision.kind !== 'add-finalizer') return await this.#apply(object, decision, signal);
    const held = await this.#patch(object, addFinalizerPatch(object, this.#kind.finalizer), signal);
    return await this.#apply(held, this.#decide(held), signal);
  }

  #decide(object: T): Decision {
    const { nodeName } = object.status;
    const unreadable = whyLeftAlone(object);
    const expiresAt = unreadable === undefined ? this.#kind.expiresAt?.(object) : undefined;
    return decideObject({
      object,
      finalizer: this.#kind.finalizer,
      nodeState: nodeName === undefined ? undefined : this.#cluster.nodeStateOf(nodeName),
      isToldLost: nodeName !== undefined && this.#cluster.liveness.isTold(nodeName, object.metadata.uid),
      isAssumed: this.#kind.isAssumed(keyOf(object)),
      expiresInMs: expiresAt === undefined ? undefined : expiresAt.getTime() - this.#clock.now().getTime(),
      placement: () =>
        unreadable === undefined
          ? this.#kind.place(object)
          : { kind: 'none', reason: 'Unreadable', message: unreadable },
    });
  }

  async #apply(object: T, decision: Decision, signal: AbortSignal): Promise<Outcome> {
    switch (decision.kind) {
      case 'none':
        return settled;
      case 'add-finalizer':
        return recheck(CONFLICT_MS);
      case 'remove-finalizer':
        await this.#patch(object, removeFinalizerPatch(object, this.#kind.finalizer), signal);
        return settledAfter('finalizer removed');
      case 'confirm-removal':
        return await this.#confirmRemoval(object, signal);
      case 'abandon':
        return await this.#abandon(object, decision.nodeName, signal);
      case 'place':
        return await this.#place(object, decision.nodeName, signal);
      case 'confirm-placement':
        await this.#writeScheduled(object, placedOn(decision.nodeName), signal);
        return settledAfter('placement confirmed');
      case 'refuse':
        return await this.#refuse(object, decision, signal);
      case 'mark-lost':
        return await this.#markLost(object, decision.nodeName, signal);
      case 'expire':
        return await this.#expire(object, signal);
      case 'await-expiry':
        return recheck(Math.min(decision.afterMs, MAX_EXPIRY_WAIT_MS));
      default:
        return decision satisfies never;
    }
  }

  async #confirmRemoval(object: T, signal: AbortSignal): Promise<Outcome> {
    const found = await this.#kind.managed.get(keyOf(object), { signal });
    if (found?.object.metadata.uid !== object.metadata.uid) return recheck(CONFLICT_MS);
    // A word of somebody else is none: the agent's own comes as a change.
    if (!isRemovedByAgent(found)) return await this.#apply(object, this.#decide(withoutWord(object)), signal);
    return await this.#apply(found.object, { kind: 'remove-finalizer' }, signal);
  }

  async #place(object: T, nodeName: string, signal: AbortSignal): Promise<Outcome> {
    // Before the first await: the next decision must reckon with this one.
    const release = this.#kind.assume(object, nodeName);
    try {
      await this.#writeScheduled(object, placedOn(nodeName), signal);
    } catch (error) {
      release();
      throw error;
    }
    if (this.#kind.tellsPlacement) {
      this.#events.record(object, 'Normal', 'Scheduled', 'Place', `placed on node ${nodeName}`);
    }
    return settledAfter(`placed on ${nodeName}`);
  }

  async #refuse(object: T, decision: Decision & { kind: 'refuse' }, signal: AbortSignal): Promise<Outcome> {
    const { reason, message } = decision;
    const update: ScheduledUpdate = { nodeName: undefined, reason, message };
    if (!saysScheduled(object, update)) {
      await this.#writeScheduled(object, update, signal);
      const event = reason === 'Unreadable' ? reason : 'FailedScheduling';
      this.#events.record(object, 'Warning', event, 'Place', message);
    }
    return waiting(SAFETY_NET_MS, reason, message);
  }

  async #markLost(object: T, nodeName: string, signal: AbortSignal): Promise<Outcome> {
    const { liveness } = this.#cluster;
    const message = `the agent of node ${nodeName} has stopped renewing its Lease; what is on the node is unknown. Bring the node or its agent back; the data is where it was`;
    if ((await liveness.confirm(nodeName, signal)) !== 'silent') return this.#recheckNode(nodeName);
    const current = await this.#kind.client.get(keyOf(object), { signal });
    if (current === undefined || current.metadata.uid !== object.metadata.uid) return settled;
    if (!saysLost(current)) {
      const patch = lostPatch(current, message, this.#clock.now());
      const options = { subresource: 'status', fieldManager: agentManager(nodeName), signal };
      this.#own.remember(await patchTested(this.#kind.client, current, patch, options));
      this.#events.record(current, 'Warning', 'NodeLost', 'Observe', message);
    }
    liveness.noteTold(nodeName, current.metadata.uid);
    return waiting(SAFETY_NET_MS, 'NodeLost', message);
  }

  async #abandon(object: T, nodeName: string, signal: AbortSignal): Promise<Outcome> {
    if ((await this.#cluster.confirmNodeState(nodeName, signal)) !== 'gone') return this.#recheckNode(nodeName);
    await this.#patch(object, removeFinalizerPatch(object, this.#kind.finalizer), signal);
    const note = `node ${nodeName} is gone for good, so the object goes; the data stays on the disk of that node (${this.#kind.leftBehind(object)})`;
    this.#events.record(object, 'Warning', 'NodeLost', 'Abandon', note);
    return settledAfter('abandoned');
  }

  /** Only what was looked at: one that was changed since may have got more time. */
  async #expire({ metadata }: T, signal: AbortSignal): Promise<Outcome> {
    const { uid, resourceVersion } = metadata;
    await this.#kind.client.delete(keyOf({ metadata }), { uid, resourceVersion, signal });
    return settledAfter('expired');
  }

  #recheckNode(nodeName: string): Outcome {
    return recheck(Math.max(CONFLICT_MS, this.#cluster.liveness.remainingMs(nodeName)));
  }

  /** Fails with a conflict if it is another object of the same name by now. */
  async #writeScheduled(object: T, update: ScheduledUpdate, signal: AbortSignal): Promise<void> {
    const { namespace, name, uid } = object.metadata;
    const draft = { metadata: { namespace, name, uid }, status: scheduledStatus(object, update, this.#clock.now()) };
    const options = { fieldManager: CONTROLLER_MANAGER, signal };
    this.#own.remember(await this.#kind.client.applyStatus(draft, options));
  }

  async #patch(object: T, patch: JsonPatch, signal: AbortSignal): Promise<T> {
    const options = { fieldManager: CONTROLLER_MANAGER, signal };
    const patched = await patchTested(this.#kind.client, object, patch, options);
    this.#own.remember(patched);
    return patched;
  }
}
