import { cacheGuards } from './caches.ts';
import { contentGuards } from './content.ts';
import type { Guard } from './guard.ts';
import { imageGuards } from './images.ts';
import { objectGuards } from './objects.ts';
import { recordGuards } from './records.ts';
import { safetyGuards } from './safety.ts';
import { snapshotGuards } from './snapshots.ts';
import { volumeGuards } from './volumes.ts';

export const guards: readonly Guard[] = [
  ...safetyGuards,
  ...volumeGuards,
  ...imageGuards,
  ...recordGuards,
  ...snapshotGuards,
  ...cacheGuards,
  ...contentGuards,
  ...objectGuards,
];
