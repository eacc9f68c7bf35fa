import type { Condition } from '../../src/api/conditions.ts';

/** What kstatus takes an object for: Flux, kpt and `helm --wait` go by it. */
export type KStatus = 'InProgress' | 'Failed' | 'Current' | 'Terminating';

export interface AnyObject {
  readonly metadata: { readonly generation?: number | undefined; readonly deletionTimestamp?: string | undefined };
  readonly status?: {
    readonly observedGeneration?: number | undefined;
    readonly conditions?: readonly Pick<Condition, 'type' | 'status'>[] | undefined;
  };
}

/** The rules of kstatus for kinds that it doesn't know (sigs.k8s.io/cli-utils, and fluxcd/cli-utils 1.2, pkg/kstatus/status). */
export function kstatusOf({ metadata, status = {} }: AnyObject): KStatus {
  if (metadata.deletionTimestamp !== undefined) return 'Terminating';
  const { observedGeneration, conditions = [] } = status;
  const isObserved = observedGeneration === undefined || observedGeneration === metadata.generation;
  if (metadata.generation !== undefined && !isObserved) return 'InProgress';
  // The first of the two in the list counts.
  for (const condition of conditions) {
    if (condition.status !== 'True') continue;
    if (condition.type === 'Reconciling') return 'InProgress';
    if (condition.type === 'Stalled') return 'Failed';
  }
  const ready = conditions.find(({ type }) => type === 'Ready');
  // What says nothing of itself counts as done.
  return ready === undefined || ready.status === 'True' ? 'Current' : 'InProgress';
}
