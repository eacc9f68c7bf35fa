import { type Condition, findCondition, setCondition } from '../api/conditions.ts';

/** What a condition says. */
export type Verdict<Reason extends string = string> = readonly [
  status: Condition['status'],
  reason: Reason,
  message: string,
];

/** `'as before'`: not looked at this time; undefined: the condition does not apply, and is absent. */
export type Verdicts<Type extends string, Reason extends string> = readonly (readonly [
  Type,
  Verdict<Reason> | 'as before' | undefined,
])[];

export interface ConditionContext {
  readonly previous: readonly Condition[] | undefined;
  /** metadata.generation of the object that was judged. */
  readonly generation: number | undefined;
  readonly now: Date;
}

/** The conditions of an object, in this order; the time of the last change stays with what says the same. */
export function conditionsOf<Type extends string, Reason extends string>(
  verdicts: Verdicts<Type, Reason>,
  { previous, generation, now }: ConditionContext,
): Condition[] {
  return verdicts.flatMap(([type, verdict]) => {
    const before = findCondition(previous, type);
    if (verdict === 'as before') return before ?? [];
    if (verdict === undefined) return [];
    const [status, reason, message] = verdict;
    const update = { type, status, reason, message, observedGeneration: generation ?? 0 };
    return setCondition(before === undefined ? [] : [before], update, now);
  });
}

/** Conditions Reconciling and Stalled of what can't be as its spec wants it. */
export function progressVerdicts<Reason extends string>(
  refusal: { readonly reason: Reason; readonly message: string; readonly mendedBy: 'person' | 'time' } | undefined,
): readonly (readonly ['Reconciling' | 'Stalled', Verdict<Reason> | undefined])[] {
  const verdict = refusal === undefined ? undefined : (['True', refusal.reason, refusal.message] as const);
  return [
    ['Reconciling', refusal?.mendedBy === 'time' ? verdict : undefined],
    ['Stalled', refusal?.mendedBy === 'person' ? verdict : undefined],
  ];
}
