import { type Condition, findCondition, removeCondition } from './conditions.ts';

/** What the statuses of all kinds that live on a node have in common. */
export interface PlacedStatus {
  readonly nodeName?: string | undefined;
  readonly conditions?: Condition[] | undefined;
}

/** The part of a status that the agent's field manager owns: everything but nodeName and condition Scheduled. */
export function ownedByAgent<Status extends PlacedStatus>(status: Status): Status {
  const { nodeName: _, conditions, ...rest } = status;
  const owned = conditions === undefined ? rest : { ...rest, conditions: removeCondition(conditions, 'Scheduled') };
  // What is left out is optional in every status.
  return owned as Status;
}

/** The part of a status that the controller's field manager owns: nodeName and condition Scheduled. */
export function ownedByController({ nodeName, conditions }: PlacedStatus): PlacedStatus {
  const scheduled = findCondition(conditions, 'Scheduled');
  return {
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(scheduled === undefined ? {} : { conditions: [scheduled] }),
  };
}
