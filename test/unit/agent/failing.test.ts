import { describe, expect, it } from 'vitest';
import { type Failures, noteErrors } from '../../../src/agent/volumes/failing.ts';
import type { DeviceErrors } from '../../../src/host/btrfs-sysfs.ts';
import { UID } from '../../builders/observations.ts';

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000);
type Look = readonly [seconds: number, counted: DeviceErrors | undefined, said?: readonly [number, ...string[]]];

/** Looks at a volume, and what is said of it: since which second, and which kinds. */
const rows: readonly (readonly [string, readonly Look[]])[] = [
  [
    'what was counted before the agent looked has no time',
    [
      [0, { write: 3 }],
      [5, { write: 3 }],
    ],
  ],
  [
    'what fails, since the first look that saw more of it, however much more comes and who can not look meanwhile',
    [
      [0, { write: 0, corruption: 4 }],
      [5, { write: 1, corruption: 4 }, [5, 'write']],
      [9, undefined, [5, 'write']],
      [20, { write: 90, corruption: 4 }, [5, 'write']],
      [500, { write: 90, flush: 1, corruption: 4 }, [5, 'write', 'flush']],
      [1050, { write: 91, flush: 1, corruption: 4 }, [5, 'write', 'flush']],
    ],
  ],
  [
    'errors after a rest are other ones',
    [
      [0, {}],
      [5, { read: 1 }, [5, 'read']],
      [606, { read: 1 }],
      [700, { read: 1, write: 1 }, [700, 'write']],
      [9000, { read: 2, write: 1 }, [9000, 'read']],
    ],
  ],
  [
    'counters that were reset begin anew',
    [
      [0, {}],
      [5, { write: 7 }, [5, 'write']],
      [6, { write: 0 }],
      [8, { write: 1 }, [8, 'write']],
    ],
  ],
];

describe('noteErrors', () => {
  it.each(rows)('F49 LoopbackVolume: %s', (_, looks) => {
    const failures: Failures = new Map();
    for (const [seconds, counted, said] of looks) {
      const failing = noteErrors(failures, UID, counted, at(seconds));
      const [since, ...kinds] = said ?? [];
      expect(failing, `at ${seconds} s`).toEqual(since === undefined ? undefined : { since: at(since), kinds });
    }
  });
});
