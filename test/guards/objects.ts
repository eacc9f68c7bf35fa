import type { Guard } from './guard.ts';

const REMOVAL = 'src/agent/pass/removal.ts';
const REMOVAL_TEST = 'test/unit/agent/removal.test.ts';
const PLACEMENT_TEST = 'test/unit/controller/placement.test.ts';

/** Objects in the API: deletion, placement, Leases, settings. */
export const objectGuards: readonly Guard[] = [
  {
    promise: 'rule 8: a destructive step needs a fresh look at the object: uid',
    breaks: 'what belongs to another object of the name were removed',
    file: REMOVAL,
    from: 'metadata.uid === cached.metadata.uid && ',
    to: '',
    test: REMOVAL_TEST,
  },
  {
    promise: 'rule 8: a destructive step needs a fresh look at the object: deletion',
    breaks: 'an object were removed that nobody deletes',
    file: REMOVAL,
    from: 'metadata.deletionTimestamp !== undefined && ',
    to: '',
    test: REMOVAL_TEST,
  },
  {
    promise: 'rule 8: a destructive step needs a fresh look at the object: node',
    breaks: 'an object of another node were removed',
    file: REMOVAL,
    from: ' && status.nodeName === nodeName',
    to: '',
    test: REMOVAL_TEST,
  },
  {
    promise: 'rule 8: a destructive step needs a fresh look at the object: not the cache',
    breaks: 'the cached object were believed',
    file: REMOVAL,
    from: 'const found = await client.get(keyOf(cached), { signal });',
    to: 'const found: T | undefined = cached;',
    test: REMOVAL_TEST,
  },
  {
    promise: 'F35',
    breaks: 'volumes were placed on cordoned nodes',
    file: 'src/controller/volumes/placement.ts',
    from: '  if (offer.reservation !== undefined && request.nodeName !== offer.name) return offer.reservation;\n',
    to: '',
    test: PLACEMENT_TEST,
  },
  {
    promise: 'F36',
    breaks: 'a refusal had figures that move',
    file: 'src/controller/volumes/placement.ts',
    from: "return 'has less than that left';",
    to: "return 'has ' + formatBytes(leftBytes(offer)) + ' left';",
    test: PLACEMENT_TEST,
  },
  {
    promise: 'F34',
    breaks: 'a Lease could have a fraction of a second, which the API server refuses',
    file: 'src/config.ts',
    from: '  leaseSeconds: setting(\n    wholeSeconds(1, 3600),',
    to: '  leaseSeconds: setting(\n    seconds(1, 3600),',
    test: 'test/unit/config/config.test.ts',
  },
];
