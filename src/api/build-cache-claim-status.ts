import { z } from 'zod';
import { conditionList } from './conditions.ts';
import { subvolumeMount } from './mount.ts';
import { nodeNameStays, observedGeneration, PATH_MAX, placedNodeName } from './placed-status.ts';
import { rules, text, wholeNumber } from './schema.ts';

const releaseOutcomes = ['Published', 'Superseded', 'Unchanged', 'Discarded'] as const;

export const BuildCacheClaimStatus = z
  .object({
    observedGeneration: observedGeneration(),
    nodeName: placedNodeName(),
    baseGeneration: wholeNumber().min(1).optional().describe('Generation of the cache that the clone was made of.'),
    path: text(PATH_MAX).optional().describe('Directory on the node, while the clone is there. For root only.'),
    mount: subvolumeMount('clone').optional(),
    outcome: z
      .enum(releaseOutcomes)
      .optional()
      .describe(
        'What became of the clone. Published: the next generation. Superseded: another claim had published before. Unchanged: nothing had changed. Discarded: thrown away.',
      ),
    reason: text(64).optional().describe('Why the outcome is as it is, in one CamelCase word.'),
    generation: wholeNumber()
      .min(1)
      .optional()
      .describe('Generation that the clone became, or that was there before it.'),
    conditions: conditionList(),
  })
  .meta(rules(nodeNameStays('BuildCacheClaim')))
  .describe('What is there. Written by the operator only.');

export type BuildCacheClaimStatus = z.infer<typeof BuildCacheClaimStatus>;
export type ReleaseOutcome = (typeof releaseOutcomes)[number];
