import { type Condition, findCondition, setCondition } from '../../api/conditions.ts';
import { ownedByAgent, ownedByController, type PlacedStatus } from '../../api/ownership.ts';
import type { PlacedObject } from './placed-kind.ts';

export interface ScheduledUpdate {
  /** `undefined` while there is none. */
  readonly nodeName: string | undefined;
  readonly reason: string;
  readonly message: string;
}

/** The controller's part of the status after a decision about the place. */
export function scheduledStatus({ metadata, status }: PlacedObject, update: ScheduledUpdate, now: Date): PlacedStatus {
  const { nodeName, reason, message } = update;
  const conditions = setCondition(
    status.conditions,
    {
      type: 'Scheduled',
      status: nodeName === undefined ? 'False' : 'True',
      reason,
      message,
      observedGeneration: metadata.generation,
    },
    now,
  );
  return ownedByController({ conditions, ...(nodeName === undefined ? {} : { nodeName }) });
}

/** True if condition Scheduled says this already, for this generation. */
export function saysScheduled({ metadata, status }: PlacedObject, update: ScheduledUpdate): boolean {
  const scheduled = findCondition(status.conditions, 'Scheduled');
  return (
    scheduled?.status === (update.nodeName === undefined ? 'False' : 'True') &&
    scheduled.reason === update.reason &&
    scheduled.message === update.message &&
    scheduled.observedGeneration === metadata.generation &&
    status.nodeName === update.nodeName
  );
}

/**
 * The agent's part of the status, whole, with Ready=Unknown: what else it had said stays as it was. That something is removed is not
 * said in its place: it may be the word of somebody else.
 */
export function lostStatus({ metadata, status }: PlacedObject, message: string, now: Date): PlacedStatus {
  const isWordOfRemoval = ({ type, status }: Condition) => type === 'Removed' && status === 'True';
  const conditions = setCondition(
    status.conditions?.filter((condition) => !isWordOfRemoval(condition)),
    { type: 'Ready', status: 'Unknown', reason: 'NodeLost', message, observedGeneration: metadata.generation },
    now,
  );
  return ownedByAgent({ ...status, conditions });
}
