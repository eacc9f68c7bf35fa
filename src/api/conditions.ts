import { z } from 'zod';
import { listMap, text, time, wholeNumber } from './schema.ts';

export const Condition = z.object({
  type: text(316).min(1).describe('What the condition is about, in CamelCase.'),
  status: z
    .enum(['True', 'False', 'Unknown'])
    .describe('Whether the condition holds; Unknown if it could not be determined.'),
  reason: text(1024)
    .min(1)
    .describe(
      'One CamelCase word that says why the condition is as it is; see the list of reasons in the API reference.',
    ),
  message: text(32768).describe('What happened, to what, and what to do; for people.'),
  lastTransitionTime: time().describe('When status last changed from one value to another.'),
  observedGeneration: wholeNumber()
    .min(0)
    .optional()
    .describe('The metadata.generation that the condition was judged by.'),
});

/** A metav1.Condition. */
export type Condition = z.infer<typeof Condition>;

/** `status.conditions`: a list-map by type, so that each writer owns its own entries. */
export function conditionList() {
  return listMap(Condition, 'type', 32)
    .optional()
    .describe('What is known about the object, one entry for each type of condition.');
}

export interface ConditionUpdate<Type extends string = string, Reason extends string = string> {
  readonly type: Type;
  readonly status: Condition['status'];
  readonly reason: Reason;
  readonly message: string;
  readonly observedGeneration?: number | undefined;
}

/** A new list with the condition in its place; lastTransitionTime is `now` only if status changed. Order is kept, new ones go last. */
export function setCondition(list: readonly Condition[] | undefined, update: ConditionUpdate, now: Date): Condition[] {
  const previous = findCondition(list, update.type);
  const { observedGeneration, ...rest } = update;
  const next: Condition = {
    ...rest,
    lastTransitionTime: previous?.status === update.status ? previous.lastTransitionTime : formatTime(now),
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  };
  if (previous === undefined) return [...(list ?? []), next];
  return (list ?? []).map((condition) => (condition.type === update.type ? next : condition));
}

/** A new list without conditions of these types. */
export function removeCondition(list: readonly Condition[] | undefined, ...types: readonly string[]): Condition[] {
  return (list ?? []).filter((condition) => !types.includes(condition.type));
}

/** Ready says that the node is lost: the controller's word, in the place of an agent that is silent. */
export function isNodeLost(list: readonly Condition[] | undefined): boolean {
  const ready = findCondition(list, 'Ready');
  return ready?.status === 'Unknown' && ready.reason === 'NodeLost';
}

export function findCondition(list: readonly Condition[] | undefined, type: string): Condition | undefined {
  return list?.find((condition) => condition.type === type);
}

/** True only if the condition is there and its status is True. */
export function isTrue(list: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(list, type)?.status === 'True';
}

/** RFC 3339 in UTC without fractions of a second, as Kubernetes writes times: `2026-11-21T10:04:00Z`. */
export function formatTime(at: Date): string {
  return `${at.toISOString().slice(0, 19)}Z`;
}
