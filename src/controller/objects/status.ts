import { findCondition, setCondition } from '../../api/conditions.ts';
import { ownedByController, type PlacedStatus } from '../../api/ownership.ts';
import type { PlacedObject } from './placed-kind.ts';

export interface ScheduledUpdate {
  /** `undefined` while there is none. */
  readonly nodeName: string | undefined;
  readonly reason: string;
  readonly message: string;
}

export function placedOn(nodeName: string): ScheduledUpdate {
  return { nodeName, reason: 'Placed', message: `placed on node ${nodeName}` };
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
