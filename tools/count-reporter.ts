import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';
import type { Counts, Report } from './test-summary.ts';

/** Writes what passed, failed and was skipped, with the reasons (vitest's own JSON has none), to the file in $COUNT_REPORT. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const file = process.env.COUNT_REPORT;
    if (file === undefined) return;
    const report: Report = {
      files: Object.fromEntries(modules.map((module) => [module.relativeModuleId, countsOf(module)])),
      errors: errors.map((error) => `unhandled: ${error.message}`),
    };
    writeFileSync(file, JSON.stringify(report));
  }
}

function countsOf(module: TestModule): Counts {
  const tests = [...module.children.allTests()];
  const inState = (state: string) => tests.filter((test) => test.result().state === state);
  return {
    passed: inState('passed').length,
    failures: [
      ...inState('failed').map(titleOf),
      ...module.errors().map((error) => `${module.relativeModuleId}: ${error.message}`),
    ],
    skipped: [...inState('skipped'), ...inState('pending')].map((test) => ({
      title: titleOf(test),
      reason: reasonOf(test),
    })),
  };
}

function titleOf(test: TestCase): string {
  return `${test.module.relativeModuleId}: ${test.fullName}`;
}

function reasonOf(test: TestCase): string {
  const result = test.result();
  return (result.state === 'skipped' && result.note) || 'no reason given';
}
