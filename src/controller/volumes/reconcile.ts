import { agentManager, CONTROLLER_MANAGER } from '../../api/group.ts';
import type { LoopbackVolume, LoopbackVolumeStatus } from '../../api/loopback-volume.ts';
import { ApiError, isConflict, isInvalid, isNotFound } from '../../kube/errors.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { keyOf } from '../../kube/object.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type Outcome, recheck, settled, settledAfter, waiting } from '../../runtime/outcome.ts';
import type { Cluster } from '../cluster.ts';
import { sizeBytesOf } from './commitments.ts';
import { decideVolume, saysLost, type VolumeDecision } from './decide.ts';
import { addFinalizerPatch, type JsonPatch, removeFinalizerPatch } from './finalizer.ts';
import { observeVolume } from './observe.ts';
import { lostStatus, type ScheduledUpdate, saysScheduled, scheduledStatus } from './status.ts';

export interface VolumeReconcileOptions {
  readonly cluster: Cluster;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

// Changes of nodes and volumes wake those that wait; this is for a change that was missed.
const SAFETY_NET_MS = 600_000;
// The event of the newer version is usually here before.
const CONFLICT_MS = 500;

/** The part of the controller in the life of LoopbackVolumes: finalizer, place, lost nodes. */
export function createVolumeReconcile(options: VolumeReconcileOptions) {
  const pass = new VolumePass(options);
  return (key: string, signal: AbortSignal): Promise<Outcome> => pass.run(key, signal);
}

class VolumePass {
  readonly #cluster: Cluster;
  readonly #events: EventRecorder;
  readonly #clock: Clock;

  constructor({ cluster, events, clock }: VolumeReconcileOptions) {
    this.#cluster = cluster;
    this.#events = events;
    this.#clock = clock;
  }

  async run(key: string, signal: AbortSignal): Promise<Outcome> {
    const volume = this.#cluster.volumes.get(key);
    if (volume === undefined) return settled;
    try {
      return await this.#advance(volume, signal);
    } catch (error) {
      // Looked at in a version that is no longer the current one, or gone.
      if (isConflict(error) || isNotFound(error)) return recheck(CONFLICT_MS);
      throw error;
    }
  }

  async #advance(volume: LoopbackVolume, signal: AbortSignal): Promise<Outcome> {
    const decision = decideVolume(observeVolume(this.#cluster, volume));
    if (decision.kind !== 'add-finalizer') return await this.#apply(volume, decision, signal);
    const held = await this.#patch(volume, addFinalizerPatch(volume), signal);
    return await this.#apply(held, decideVolume(observeVolume(this.#cluster, held)), signal);
  }

  async #apply(volume: LoopbackVolume, decision: VolumeDecision, signal: AbortSignal): Promise<Outcome> {
    switch (decision.kind) {
      case 'none':
        return settled;
      case 'add-finalizer':
        return recheck(CONFLICT_MS);
      case 'remove-finalizer':
        await this.#patch(volume, removeFinalizerPatch(volume), signal);
        return settledAfter('finalizer removed');
      case 'abandon':
        return await this.#abandon(volume, decision.nodeName, signal);
      case 'place':
        return await this.#place(volume, decision.nodeName, signal);
      case 'confirm-placement':
        await this.#writeScheduled(volume, placedOn(decision.nodeName), signal);
        return settledAfter('placement confirmed');
      case 'refuse':
        return await this.#refuse(volume, decision, signal);
      case 'mark-lost':
        return await this.#markLost(volume, decision.nodeName, signal);
      default:
        return decision satisfies never;
    }
  }

  async #place(volume: LoopbackVolume, nodeName: string, signal: AbortSignal): Promise<Outcome> {
    const { commitments } = this.#cluster;
    const key = keyOf(volume);
    // Before the first await: the next decision must reckon with this one.
    commitments.assume(key, nodeName, sizeBytesOf(volume.spec));
    try {
      await this.#writeScheduled(volume, placedOn(nodeName), signal);
    } catch (error) {
      commitments.release(key);
      throw error;
    }
    this.#events.record(volume, 'Normal', 'Scheduled', 'Place', `placed on node ${nodeName}`);
    return settledAfter(`placed on ${nodeName}`);
  }

  async #refuse(
    volume: LoopbackVolume,
    decision: VolumeDecision & { kind: 'refuse' },
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { reason, message } = decision;
    const update: ScheduledUpdate = { nodeName: undefined, reason, message };
    if (!saysScheduled(volume, update)) {
      await this.#writeScheduled(volume, update, signal);
      this.#events.record(volume, 'Warning', 'FailedScheduling', 'Place', message);
    }
    return waiting(SAFETY_NET_MS, reason, message);
  }

  async #markLost(volume: LoopbackVolume, nodeName: string, signal: AbortSignal): Promise<Outcome> {
    const { liveness, clients } = this.#cluster;
    const message = `the agent of node ${nodeName} has stopped renewing its Lease; what is on the node is unknown`;
    if ((await liveness.confirm(nodeName, signal)) !== 'silent') return this.#recheckNode(nodeName);
    const current = await clients.volumes.get(keyOf(volume), { signal });
    if (current === undefined || current.metadata.uid !== volume.metadata.uid) return settled;
    if (!saysLost(current)) {
      const status = lostStatus(current, message, this.#clock.now());
      const { resourceVersion } = current.metadata;
      await this.#applyStatus(current, { status, fieldManager: agentManager(nodeName), resourceVersion }, signal);
      this.#events.record(current, 'Warning', 'NodeLost', 'Observe', message);
    }
    return waiting(SAFETY_NET_MS, 'NodeLost', message);
  }

  async #abandon(volume: LoopbackVolume, nodeName: string, signal: AbortSignal): Promise<Outcome> {
    if ((await this.#cluster.confirmNodeState(nodeName, signal)) !== 'gone') return this.#recheckNode(nodeName);
    await this.#patch(volume, removeFinalizerPatch(volume), signal);
    const { imagePath = 'its image' } = volume.status;
    const note = `node ${nodeName} is gone for good, so the object goes; the data stays on the disk of that node (${imagePath})`;
    this.#events.record(volume, 'Warning', 'NodeLost', 'Abandon', note);
    return settledAfter('abandoned');
  }

  #recheckNode(nodeName: string): Outcome {
    return recheck(Math.max(CONFLICT_MS, this.#cluster.liveness.remainingMs(nodeName)));
  }

  async #writeScheduled(volume: LoopbackVolume, update: ScheduledUpdate, signal: AbortSignal): Promise<void> {
    const status = scheduledStatus(volume, update, this.#clock.now());
    await this.#applyStatus(volume, { status, fieldManager: CONTROLLER_MANAGER }, signal);
  }

  /** Fails with a conflict if it is another object of the same name by now. */
  async #applyStatus(
    { metadata: { namespace, name, uid } }: LoopbackVolume,
    what: { readonly status: LoopbackVolumeStatus; readonly fieldManager: string; readonly resourceVersion?: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { status, fieldManager, resourceVersion } = what;
    const metadata = { namespace, name, uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
    await this.#cluster.clients.volumes.applyStatus({ metadata, status }, { fieldManager, signal });
  }

  async #patch(volume: LoopbackVolume, patch: JsonPatch, signal: AbortSignal): Promise<LoopbackVolume> {
    const { volumes } = this.#cluster.clients;
    try {
      return await volumes.patch(keyOf(volume), patch, { type: 'json', fieldManager: CONTROLLER_MANAGER, signal });
    } catch (error) {
      // How the server answers a `test` that does not hold (RFC 6902): the object has changed.
      if (isInvalid(error)) throw new ApiError(409, 'Conflict', 'the volume has changed meanwhile', { cause: error });
      throw error;
    }
  }
}

function placedOn(nodeName: string): ScheduledUpdate {
  return { nodeName, reason: 'Placed', message: `placed on node ${nodeName}` };
}
