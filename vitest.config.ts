import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Begun last, each of these would be waited for alone. */
const LONG = ['/crash/', '/compact.test.ts', '/minimize.test.ts', '/fill.test.ts', '/round-trip.test.ts'];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rankOf = ({ moduleId }: TestSpecification) => (LONG.some((part) => moduleId.includes(part)) ? 0 : 1);
    return (await super.sort(files)).toSorted((one, other) => rankOf(one) - rankOf(other));
  }
}

const cluster = { globalSetup: 'test/cluster/global-setup.ts' };
const labs = {
  testTimeout: 300_000,
  hookTimeout: 300_000,
  expect: { poll: { timeout: 30_000 } },
  maxWorkers: 3,
};

export default defineConfig({
  test: {
    // Children die with the thread that started them: worker threads would end them too early (test/cluster/child.ts).
    pool: 'forks',
    // A file costs a second of computing less: its modules are there already.
    isolate: false,
    teardownTimeout: 60_000,
    sequence: { sequencer: LongFirst },
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 30_000, maxWorkers: 2 },
      },
      {
        extends: true,
        test: {
          ...cluster,
          name: 'contract',
          include: ['test/contract/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          // They mostly wait.
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          ...cluster,
          ...labs,
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          ...cluster,
          ...labs,
          name: 'stress',
          include: ['test/stress/**/*.test.ts'],
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          ...cluster,
          name: 'chaos',
          include: ['test/chaos/**/*.test.ts'],
          testTimeout: 3_600_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          sequence: { groupOrder: 4 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          globalSetup: 'test/e2e/cluster/global-setup.ts',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          expect: { poll: { timeout: 60_000 } },
          fileParallelism: false,
          sequence: { groupOrder: 5 },
        },
      },
    ],
  },
});
