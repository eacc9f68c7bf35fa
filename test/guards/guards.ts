import type { Guard } from './guard.ts';
import { volumeGuards } from './volumes.ts';

/** All of them, in the order of the promises. */
export const guards: readonly Guard[] = [...volumeGuards];
