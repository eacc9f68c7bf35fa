import { z } from 'zod';
import { owner } from './owner.ts';
import { reference } from './reference.ts';
import { type CelRule, rules, wholeNumber } from './schema.ts';

const immutable: CelRule = {
  rule: 'self == oldSelf',
  message: 'cannot be changed; make a new BuildCacheClaim',
};

/** The clone was made with what stood here, or without. */
const ownerStays: CelRule = {
  rule: 'has(self.owner) == has(oldSelf.owner)',
  message: 'cannot be added or removed; make a new BuildCacheClaim',
  fieldPath: '.owner',
};

const releaseIsFinal: CelRule = {
  rule: '!has(oldSelf.release) || (has(self.release) && self.release == oldSelf.release)',
  message: 'is set once; make a new BuildCacheClaim',
  messageExpression: '"is set once and was " + oldSelf.release + "; make a new BuildCacheClaim"',
  fieldPath: '.release',
};

/** A day and a year: long enough to look at, short enough for the API server. */
const MAX_TTL_SECONDS = 366 * 24 * 3600;

export const BuildCacheClaimSpec = z
  .object({
    cacheRef: reference().meta(rules(immutable)).describe('BuildCache that the clone is made of. Stays as it is.'),
    owner: owner('the top directory of the clone')
      .meta(rules(immutable))
      .optional()
      .describe(
        'To whom the top directory of the clone belongs; without it, as the BuildCache says. Files and directories in it keep their owners.',
      ),
    access: z
      .enum(['ReadWrite', 'ReadOnly'])
      .default('ReadWrite')
      .meta(rules(immutable))
      .describe('ReadOnly: the clone can only be read, and publishes nothing. Stays as it is.'),
    release: z
      .enum(['Publish', 'Discard'])
      .optional()
      .describe(
        'Set by the job when it has ended. Publish: the clone becomes the next generation of the cache, if it changed and the publishPolicy of the cache allows it. Discard: it is thrown away. Set once; a claim that is deleted without it is discarded.',
      ),
    ttlSecondsAfterReleased: wholeNumber()
      .min(0)
      .max(MAX_TTL_SECONDS)
      .default(300)
      .describe(
        'So many seconds after the release was judged this object is deleted; status tells the outcome until then.',
      ),
  })
  .meta(rules(releaseIsFinal, ownerStays))
  .describe('The clone that is wanted. Written by you only, never by the operator.');

export type BuildCacheClaimSpec = z.infer<typeof BuildCacheClaimSpec>;
