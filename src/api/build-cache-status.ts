import { z } from 'zod';
import { conditionList } from './conditions.ts';
import { nodeNameStays, observedGeneration, placedNodeName } from './placed-status.ts';
import { atomicList, rules, text, time, wholeNumber } from './schema.ts';

/** More than keepGenerations allows: those that claims started from stay as well. */
export const MAX_LISTED = 256;

const count = (what: string) => wholeNumber().min(0).optional().describe(`How many claims ${what} so far.`);

const generation = z.object({
  generation: wholeNumber().min(1).describe('Its number; numbers only grow.'),
  subvolumeID: wholeNumber().min(0).describe('Id of the subvolume in its file system.'),
  uuid: text(36).describe('uuid of the subvolume.'),
  from: text(512).optional().describe('What it was made of: a claim by its name, Seed, or Empty.'),
  createdAt: time().optional().describe('When it was made.'),
});

export const BuildCacheStatus = z
  .object({
    observedGeneration: observedGeneration(),
    nodeName: placedNodeName(),
    currentGeneration: wholeNumber().min(1).optional().describe('The newest generation.'),
    generations: atomicList(generation, MAX_LISTED)
      .optional()
      .describe('The generations that are kept, the oldest first.'),
    activeClaims: wholeNumber().min(0).optional().describe('How many claims hold a clone and were not released.'),
    clones: atomicList(text(36), MAX_LISTED)
      .optional()
      .describe(
        'uids of the claims that have clones in the volume. When such a claim is gone, its clone goes; a clone of a claim that was never named here is an orphan of the BtrfsNode and stays.',
      ),
    published: count('became a generation'),
    superseded: count('came too late, after another one had published'),
    unchanged: count('had changed nothing'),
    discarded: count('were discarded'),
    lastPublishedAt: time().optional().describe('When the last claim became a generation.'),
    conditions: conditionList(),
  })
  .meta(rules(nodeNameStays('BuildCache')))
  .describe('What is there. Written by the operator only.');

export type BuildCacheStatus = z.infer<typeof BuildCacheStatus>;
