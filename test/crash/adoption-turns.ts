import type { Turn } from './boundaries.ts';
import type { AdoptedKind, CrashAdoption } from './crash-adoption.ts';

const turn = (kind: AdoptedKind, rest: Partial<Turn<CrashAdoption>> = {}): Turn<CrashAdoption> => ({
  name: `adopt ${kind}`,
  prepare: (subject) => subject.lose(kind),
  change: (subject) => subject.adopt(kind),
  ...rest,
});

/** Adoptions of what was lost right before; how an adopted volume is brought up is struck with volumes that are not. */
export const adoptionTurns: readonly Turn<CrashAdoption>[] = [
  turn('LoopbackVolume', { news: ['umount', 'losetup --detach', 'chattr -i'] }),
  turn('Snapshot', {
    order: ['cp', 'mv', 'btrfs filesystem sync'],
    news: ['cp', 'sync', 'mv', 'btrfs filesystem sync'],
  }),
  turn('BuildCache', { order: ['cp', 'mv', 'btrfs filesystem sync'], news: ['mv'] }),
];
