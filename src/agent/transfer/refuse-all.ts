import { TransferRefusal } from '../../net/transfer-protocol.ts';
import type { ServeStream } from '../../net/transfer-server.ts';

/** Serves nothing: what stands in for the Snapshots of a node. */
export const refuseAll: ServeStream = ({ namespace, name }) =>
  Promise.reject(new TransferRefusal('NotFound', `no snapshot ${namespace}/${name} is made from one on this node`));
