import { unreadableOf, whyLeftAlone } from '../../api/parse.ts';
import type { Outcome } from '../../runtime/outcome.ts';
import { outcomeOf } from '../refusal.ts';
import { conditionsOf, progressVerdicts } from '../verdicts.ts';
import type { Removable, RemovalContext } from './removal.ts';

/**
 * Tells of what this version can't read in the spec of an object. The outcome of the pass if the object is left alone for that: what
 * is on the node stays as it is, and so does what status says of it. `undefined` if there is work to do, with or without that field.
 */
export async function tellUnreadable<T extends Removable>(
  { writer, events, clock }: Pick<RemovalContext<T>, 'writer' | 'events' | 'clock'>,
  object: T,
): Promise<Outcome | undefined> {
  const unreadable = unreadableOf(object);
  if (unreadable === undefined) return undefined;
  const message = whyLeftAlone(object);
  events.record(object, 'Warning', 'Unreadable', 'Reconcile', message ?? `${unreadable.message}; it is left out`);
  if (message === undefined) return undefined;
  const refusal = { reason: 'Unreadable', message, mendedBy: 'person' } as const;
  const { generation } = object.metadata;
  const said = object.status.conditions ?? [];
  const kept = said.filter(({ type }) => !['Ready', 'Reconciling', 'Stalled', 'Scheduled'].includes(type));
  const conditions = conditionsOf<string, string>(
    [
      ['Ready', ['False', 'Unreadable', message]],
      ...kept.map(({ type }) => [type, 'as before'] as const),
      ...progressVerdicts(refusal),
    ],
    { previous: said, generation, now: clock.now() },
  );
  const figures = writer.ownedPart(object);
  await writer.write(object, { ...figures, observedGeneration: generation ?? 0, conditions });
  return outcomeOf(refusal);
}
