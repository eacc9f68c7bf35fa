import { type Decision, decide, type HostFacts, type Memory } from '../../src/agent/volumes/decide.ts';
import type { Wish } from '../../src/agent/volumes/wish.ts';
import type { VolumeObservation } from '../../src/storage/volumes/observe.ts';
import { mountedSeen } from './observations.ts';
import { hostWith, memoryWith, wishWith } from './wishes.ts';

/** What a decision about a volume is made from; what is left out is a mounted volume with which all is well. */
export interface World {
  readonly wish?: Partial<Wish>;
  readonly seen?: VolumeObservation;
  readonly host?: Partial<HostFacts>;
  readonly memory?: Partial<Memory>;
}

export function decided({ wish, seen = mountedSeen(), host, memory }: World): Decision {
  return decide(wishWith(wish), seen, hostWith(host), memoryWith(memory));
}
