import { contentGuards } from './content.ts';
import type { Guard } from './guard.ts';
import { objectGuards } from './objects.ts';
import { volumeGuards } from './volumes.ts';

/** All of them. */
export const guards: readonly Guard[] = [...volumeGuards, ...contentGuards, ...objectGuards];
