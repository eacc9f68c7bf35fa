import { z } from 'zod';
import { BuildCacheSpec } from './build-cache-spec.ts';
import { BuildCacheStatus } from './build-cache-status.ts';
import { API_VERSION } from './group.ts';
import { ageColumn, type KindDefinition, messageColumn, readyColumns, untouchedStatus } from './kind.ts';
import { parseObject } from './parse.ts';
import { buildCacheConditionTypes, buildCacheReasons } from './reasons-build-cache.ts';
import { objectMeta } from './schema.ts';

export type { BuildCacheSpec } from './build-cache-spec.ts';
export type { BuildCacheStatus } from './build-cache-status.ts';

export const BuildCache = z
  .object({
    apiVersion: z.literal(API_VERSION).default(API_VERSION),
    kind: z.literal('BuildCache').default('BuildCache'),
    metadata: objectMeta,
    spec: BuildCacheSpec,
    status: BuildCacheStatus.prefault({ observedGeneration: -1 }),
  })
  .describe(
    'A row of numbered, read-only generations in a LoopbackVolume, of which every BuildCacheClaim gets a writable clone.',
  );

export type BuildCache = z.infer<typeof BuildCache>;

/** Nothing is published by a rule that is not understood. */
const standIns = {
  spec: { volumeRef: { name: 'unreadable' }, publishPolicy: 'Never' },
  goesOnWithout: ['publishPolicy'],
};

/** A BuildCache as the API server gives it: unknown keys dropped, defaults applied. See {@link parseObject}. */
export function parseBuildCache(raw: unknown): BuildCache {
  return parseObject('BuildCache', BuildCache, raw, standIns);
}

export const buildCacheType = {
  apiVersion: API_VERSION,
  kind: 'BuildCache',
  plural: 'buildcaches',
  namespaced: true,
  parse: parseBuildCache,
} as const;

export const buildCacheDefinition: KindDefinition = {
  kind: buildCacheType.kind,
  plural: buildCacheType.plural,
  singular: 'buildcache',
  shortNames: ['bcache'],
  scope: 'Namespaced',
  schema: BuildCache,
  statusDefault: untouchedStatus('waiting for its volume; see condition Scheduled'),
  printerColumns: [
    ...readyColumns,
    { name: 'Volume', type: 'string', jsonPath: '.spec.volumeRef.name', description: 'LoopbackVolume that it is in.' },
    {
      name: 'Generation',
      type: 'integer',
      jsonPath: '.status.currentGeneration',
      description: 'The newest generation.',
    },
    {
      name: 'Pinned',
      type: 'integer',
      jsonPath: '.spec.pinnedGeneration',
      description: 'The generation to start from.',
    },
    {
      name: 'Claims',
      type: 'integer',
      jsonPath: '.status.activeClaims',
      description: 'Claims that were not released.',
    },
    {
      name: 'Published',
      type: 'date',
      jsonPath: '.status.lastPublishedAt',
      description: 'Time since the last publish.',
    },
    ageColumn,
    { name: 'Policy', type: 'string', jsonPath: '.spec.publishPolicy', description: 'Who publishes.', priority: 1 },
    { name: 'Node', type: 'string', jsonPath: '.status.nodeName', description: 'Node that it is on.', priority: 1 },
    messageColumn,
  ],
  selectableFields: ['.status.nodeName'],
  conditionTypes: buildCacheConditionTypes,
  reasons: buildCacheReasons,
};
