import { z } from 'zod';
import { BuildCacheClaimSpec } from './build-cache-claim-spec.ts';
import { BuildCacheClaimStatus } from './build-cache-claim-status.ts';
import { API_VERSION } from './group.ts';
import { ageColumn, type KindDefinition, messageColumn, readyColumns, untouchedStatus } from './kind.ts';
import { parseObject } from './parse.ts';
import { buildCacheClaimConditionTypes, buildCacheClaimReasons } from './reasons-build-cache.ts';
import { objectMeta } from './schema.ts';

export type { BuildCacheClaimSpec } from './build-cache-claim-spec.ts';
export type { BuildCacheClaimStatus, ReleaseOutcome } from './build-cache-claim-status.ts';

export const BuildCacheClaim = z
  .object({
    apiVersion: z.literal(API_VERSION).default(API_VERSION),
    kind: z.literal('BuildCacheClaim').default('BuildCacheClaim'),
    metadata: objectMeta,
    spec: BuildCacheClaimSpec,
    status: BuildCacheClaimStatus.prefault({ observedGeneration: -1 }),
  })
  .describe("One job's private, writable clone of a BuildCache.");

export type BuildCacheClaim = z.infer<typeof BuildCacheClaim>;

/** A release that is not understood has not come yet. */
const standIns = { spec: { cacheRef: { name: 'unreadable' } }, goesOnWithout: ['release'] };

/** A BuildCacheClaim as the API server gives it: unknown keys dropped, defaults applied. See {@link parseObject}. */
export function parseBuildCacheClaim(raw: unknown): BuildCacheClaim {
  return parseObject('BuildCacheClaim', BuildCacheClaim, raw, standIns);
}

export const buildCacheClaimType = {
  apiVersion: API_VERSION,
  kind: 'BuildCacheClaim',
  plural: 'buildcacheclaims',
  namespaced: true,
  parse: parseBuildCacheClaim,
} as const;

export const buildCacheClaimDefinition: KindDefinition = {
  kind: buildCacheClaimType.kind,
  plural: buildCacheClaimType.plural,
  singular: 'buildcacheclaim',
  shortNames: ['bclaim'],
  scope: 'Namespaced',
  schema: BuildCacheClaim,
  statusDefault: untouchedStatus('waiting for its cache; see condition Scheduled'),
  printerColumns: [
    ...readyColumns,
    {
      name: 'Cache',
      type: 'string',
      jsonPath: '.spec.cacheRef.name',
      description: 'BuildCache that it is a clone of.',
    },
    {
      name: 'Base',
      type: 'integer',
      jsonPath: '.status.baseGeneration',
      description: 'Generation that the clone was made of.',
    },
    { name: 'Release', type: 'string', jsonPath: '.spec.release', description: 'What the job asked for at its end.' },
    { name: 'Outcome', type: 'string', jsonPath: '.status.outcome', description: 'What became of the clone.' },
    {
      name: 'Generation',
      type: 'integer',
      jsonPath: '.status.generation',
      description: 'Generation that the clone became, or that was there before it.',
    },
    ageColumn,
    {
      name: 'Access',
      type: 'string',
      jsonPath: '.spec.access',
      description: 'Whether it may be changed.',
      priority: 1,
    },
    { name: 'Node', type: 'string', jsonPath: '.status.nodeName', description: 'Node that it is on.', priority: 1 },
    { name: 'Path', type: 'string', jsonPath: '.status.path', description: 'Directory on the node.', priority: 1 },
    messageColumn,
  ],
  selectableFields: ['.status.nodeName'],
  conditionTypes: buildCacheClaimConditionTypes,
  reasons: buildCacheClaimReasons,
};
