import { isDeepStrictEqual } from 'node:util';
import { ownedByAgent, type PlacedStatus } from '../api/ownership.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';

export interface Told extends KubeObject {
  readonly status: PlacedStatus;
}

/**
 * What this process has said in the statuses of one kind's objects: what else is in them is the word of somebody who has patched them.
 * Not known after a restart: until the first write a status counts as it is.
 */
export interface Said<T extends Told> {
  /** The part of an object's status that the agent writes with its field manager. */
  ownedPart(object: T): T['status'];
  /** What was said last in this object; `undefined`: not known. */
  in(object: T): T['status'] | undefined;
  note(object: KubeObject, status: T['status']): void;
  forget(key: string): void;
  /** Our part of the object's status is what was said last, as far as that is known. */
  isIn(object: T): boolean;
}

export function createSaid<T extends Told>(
  ownedPart: Said<T>['ownedPart'] = ({ status }) => ownedByAgent<T['status']>(status),
): Said<T> {
  const said = new Map<string, { readonly uid: string; readonly status: T['status'] }>();
  const saidIn = (object: T) => {
    const known = said.get(keyOf(object));
    return known?.uid === object.metadata.uid ? known.status : undefined;
  };
  return {
    ownedPart,
    in: saidIn,
    note: (object, status) => void said.set(keyOf(object), { uid: object.metadata.uid, status }),
    forget: (key) => void said.delete(key),
    isIn(object) {
      const known = saidIn(object);
      return known === undefined || isDeepStrictEqual(known, ownedPart(object));
    },
  };
}
