import { describe, expect, it } from 'vitest';
import {
  type Counts,
  countsOf,
  failedFilesOf,
  mergedReport,
  oneLine,
  type Report,
} from '../../../tools/test-summary.ts';

const counts = (passed: number, ...failures: string[]): Counts => ({ passed, failures, skipped: [] });
const first: Report = { files: { a: counts(3), b: counts(1, 'b: x', 'b: y') }, errors: ['unhandled: z'] };

describe('the count of a run', () => {
  it('is what passed and failed, in tests and outside of them', () => {
    expect(countsOf(first)).toEqual({ passed: 4, failures: ['b: x', 'b: y', 'unhandled: z'], skipped: [] });
    expect(failedFilesOf(first)).toEqual(['b']);
  });

  it('is that of the later run for files that were run once more', () => {
    const again = mergedReport(first, { files: { b: counts(2, 'b: y') }, errors: [] });
    expect(countsOf(again)).toEqual({ passed: 5, failures: ['b: y'], skipped: [] });
    expect(oneLine([{ name: 'unit', seconds: 1, ...countsOf(again) }])).toBe('5 passed, 1 failed');
  });

  it('stays a failure when the later run came to no end', () => {
    const again = mergedReport(first, { files: {}, errors: ['no report'] });
    expect(countsOf(again).failures).toEqual(['b: x', 'b: y', 'no report']);
  });
});
