import { z } from 'zod';
import { matching } from './schema.ts';

/** A uid of the API server (RFC 9562), which names data on a node. */
const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Data on the node that no object has any more, to be taken over; `what` names it. */
export function adoption(what: string, where = '') {
  const uid = matching(UID, 36, 'must be the uid of an orphan, as status.orphans of the BtrfsNode lists it');
  return z
    .object({
      uid: uid.describe('uid of the object that it was made for, as status.orphans of the BtrfsNode lists it.'),
    })
    .describe(
      `${what} that is on the node and belongs to no object. It is taken over with its content if its record names the kind, the namespace and the name of this object.${where}`,
    );
}
