import type { Turn } from './boundaries.ts';

/** Changes that lead back to where they began. The first five make use of a volume with files in it. */
export interface RoundTrip {
  readonly name: string;
  /** The spec that it begins with; undefined when there is no volume then. */
  readonly spec: Readonly<Record<string, unknown>> | undefined;
  readonly turns: readonly Turn[];
}

const change = (name: string, spec: Record<string, unknown>): Turn => ({
  name,
  change: (volume) => volume.change(spec),
});

const small = { size: '256Mi' };
const large = { size: '512Mi' };

export const roundTrips: readonly RoundTrip[] = [
  {
    name: 'create and delete',
    spec: undefined,
    turns: [
      { name: 'create', change: (volume) => volume.create(small) },
      { name: 'delete', prepare: (volume) => volume.fill(), change: (volume) => volume.delete() },
    ],
  },
  {
    name: 'shrink and grow',
    spec: large,
    turns: [
      { name: 'shrink', prepare: (volume) => volume.pushToEnd(), change: (volume) => volume.change({ size: '288Mi' }) },
      change('grow', large),
    ],
  },
  {
    name: 'minimize and grow back',
    spec: large,
    turns: [
      {
        name: 'minimize',
        prepare: (volume) => volume.pushToEnd(),
        change: (volume) => volume.change({ minimize: { headroom: '96Mi' } }),
      },
      change('grow back', { minimize: null }),
    ],
  },
  {
    name: 'unmount and mount',
    spec: small,
    turns: [change('unmount', { mounted: false }), change('mount', { mounted: true })],
  },
  {
    name: 'change in place',
    spec: small,
    turns: [
      change('change', { label: 'changed', owner: { uid: 1000, gid: 1001, mode: '0750' }, compression: 'lzo' }),
      change('change back', { label: null, owner: null, compression: null }),
    ],
  },
];
