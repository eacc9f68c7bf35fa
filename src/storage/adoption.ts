import { StorageError } from './errors.ts';

/** What a record says of the object that the data beside it was made for. */
export interface RecordedOwner {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * Throws `refused` (AdoptionRefused) unless the record names this object. What it names in another namespace is not said: whoever
 * asks may be anybody.
 */
export function refuseStranger<R extends RecordedOwner>(
  record: R | undefined,
  wanted: RecordedOwner,
): asserts record is R {
  const why = strangeness(record, wanted);
  if (why !== undefined)
    throw new StorageError('refused', `it is not taken over: ${why}`, { reason: 'AdoptionRefused' });
}

function strangeness(record: RecordedOwner | undefined, wanted: RecordedOwner): string | undefined {
  if (record === undefined) {
    return 'there is no record that tells whose it is; only the administrator of the node can bring it back by hand';
  }
  if (record.namespace !== wanted.namespace) return 'its record names another namespace; only an object there gets it';
  if (record.kind !== wanted.kind) return `its record names a ${record.kind}, and this is a ${wanted.kind}`;
  if (record.name !== wanted.name) return `its record names ${record.kind} "${record.name}"; give the object that name`;
  return undefined;
}
