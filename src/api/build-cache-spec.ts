import { z } from 'zod';
import { adoption } from './adoption.ts';
import { owner } from './owner.ts';
import { reference } from './reference.ts';
import { type CelRule, rules, text, wholeNumber } from './schema.ts';

const MAX_GENERATIONS = 100;

const immutable: CelRule = {
  rule: 'self == oldSelf',
  message: 'cannot be changed; make a new BuildCache',
};

const seed = z
  .object({ snapshotRef: reference().describe('A committed Snapshot in the same volume.') })
  .describe('What the first generation holds; without it, nothing. Stays as it is.');

/** An optional field with a rule on changes is looked at only while both sides have it. */
const seedStays: CelRule = {
  rule: 'has(self.seed) == has(oldSelf.seed)',
  message: 'cannot be added or removed; make a new BuildCache',
  fieldPath: '.seed',
};

const source = z
  .object({ adopt: adoption('A BuildCache in the volume of volumeRef') })
  .describe(
    'Generations that are in the volume already; without it, the cache begins with seed, or empty. Its resetToken counts as applied. Stays as it is.',
  );

const sourceStays: CelRule = {
  rule: 'has(self.source) == has(oldSelf.source)',
  message: 'cannot be added or removed; make a new BuildCache',
  fieldPath: '.source',
};

const oneBeginning: CelRule = {
  rule: '!has(self.source) || !has(self.seed)',
  message: 'cannot be combined with seed: what is adopted has its generations; keep one of them',
  fieldPath: '.source',
};

export const BuildCacheSpec = z
  .object({
    volumeRef: reference()
      .meta(rules(immutable))
      .describe('LoopbackVolume that the cache is in; its size is the limit of the cache. Stays as it is.'),
    owner: owner('the top directory of the cache')
      .optional()
      .describe(
        'To whom the top directory of the first, empty generation belongs, and that of every clone whose claim says nothing else.',
      ),
    publishPolicy: z
      .enum(['FirstWriterWins', 'LastWriterWins', 'Never'])
      .default('FirstWriterWins')
      .describe(
        'Which released claims become the next generation. FirstWriterWins: those that started from the newest one. LastWriterWins: all that changed something. Never: none.',
      ),
    keepGenerations: wholeNumber()
      .min(1)
      .max(MAX_GENERATIONS)
      .default(3)
      .describe('How many generations are kept, the newest ones; those that claims started from stay as well.'),
    pinnedGeneration: wholeNumber()
      .min(1)
      .optional()
      .describe(
        'Claims start from this generation, nothing is published, and it is kept, until this is removed again.',
      ),
    resetToken: text(253)
      .default('')
      .describe(
        'Any text; a new value starts an empty generation, and claims from before publish nothing. A time or a build number will do.',
      ),
    seed: seed.meta(rules(immutable)).optional(),
    source: source.meta(rules(immutable)).optional(),
    minFreePercent: wholeNumber()
      .min(0)
      .max(90)
      .default(10)
      .describe(
        'When less of the volume is free, in percent of its size, old generations go, the oldest first; never the newest, the pinned one, or one that a claim started from.',
      ),
  })
  .meta(rules(seedStays, sourceStays, oneBeginning))
  .describe('The cache that is wanted. Written by you only, never by the operator.');

export type BuildCacheSpec = z.infer<typeof BuildCacheSpec>;
