import type { Turn } from './boundaries.ts';

/** Changes of one volume that lead back to where they began. */
export interface RoundTrip {
  readonly name: string;
  /** Spec of the volume with files that it begins with; undefined if there is none then. */
  readonly filled: Readonly<Record<string, unknown>> | undefined;
  readonly turns: readonly Turn[];
}

const change = (name: string, spec: Readonly<Record<string, unknown>>): Turn => ({
  name,
  change: (volume) => volume.change(spec),
});

const shrinkOrder = ['btrfs filesystem resize', 'btrfs filesystem sync', 'truncate', 'losetup --set-capacity'];
const growOrder = ['truncate', 'sync', 'losetup --set-capacity', 'btrfs filesystem resize'];

const small = { size: '256Mi' };
const large = { size: '512Mi' };

export const roundTrips: readonly RoundTrip[] = [
  {
    name: 'create and delete',
    filled: undefined,
    turns: [
      { name: 'create', change: (volume) => volume.create(small) },
      { name: 'delete', prepare: (volume) => volume.fill(), change: (volume) => volume.delete() },
    ],
  },
  {
    name: 'shrink and grow',
    filled: large,
    turns: [
      { ...change('shrink', { size: '288Mi' }), prepare: (volume) => volume.pushToEnd(), order: shrinkOrder },
      { ...change('grow', large), order: growOrder },
    ],
  },
  {
    name: 'minimize and grow back',
    filled: large,
    turns: [
      {
        ...change('minimize', { minimize: { headroom: '96Mi' } }),
        prepare: (volume) => volume.pushToEnd(),
        order: shrinkOrder,
      },
      { ...change('grow back', { minimize: null }), order: growOrder, repeats: true },
    ],
  },
  {
    name: 'unmount and mount',
    filled: small,
    turns: [change('unmount', { mounted: false }), change('mount', { mounted: true })],
  },
  {
    name: 'change in place',
    filled: small,
    turns: [
      change('change', {
        label: 'changed',
        owner: { uid: 1000, gid: 1001, mode: '0750' },
        compression: 'lzo',
        minimize: { headroom: '96Mi' }, // as small as it can be already: only the record changes
      }),
      { ...change('change back', { label: null, owner: null, compression: null, minimize: null }), repeats: true },
    ],
  },
];
