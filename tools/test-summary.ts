import { readFileSync } from 'node:fs';

export interface Counts {
  readonly passed: number;
  /** One text for each thing that failed. */
  readonly failures: readonly string[];
  readonly skipped: readonly { readonly title: string; readonly reason: string }[];
}

/** What one run of vitest did: count-reporter.ts writes it. */
export interface Report {
  readonly files: Readonly<Record<string, Counts>>;
  /** What went wrong outside of all tests. */
  readonly errors: readonly string[];
}

export interface StepResult extends Counts {
  readonly name: string;
  readonly seconds: number;
  /** What failed at first and was run once more. */
  readonly triedAgain?: readonly string[];
}

/**
 * A run without a report counts as one failure, and so does one that failed while every test passed (something was left on
 * the machine).
 */
export function readReport(reportPath: string, exitCode: number): Report {
  const report = readJson(reportPath);
  if (report === undefined) return { files: {}, errors: ['no report: it did not run to its end'] };
  if (exitCode === 0 || report.errors.length > 0 || failedFilesOf(report).length > 0) return report;
  return { ...report, errors: [`exit code ${exitCode}, though no test failed: see its output above`] };
}

export function failedFilesOf({ files }: Report): string[] {
  return Object.entries(files).flatMap(([file, { failures }]) => (failures.length > 0 ? [file] : []));
}

/** The files of the later run count as they did there; what went wrong outside of tests is taken for their doing. */
export function mergedReport(first: Report, again: Report): Report {
  return { files: { ...first.files, ...again.files }, errors: again.errors };
}

export function countsOf({ files, errors }: Report): Counts {
  const all = Object.values(files);
  return {
    passed: all.reduce((sum, { passed }) => sum + passed, 0),
    failures: [...all.flatMap(({ failures }) => failures), ...errors],
    skipped: all.flatMap(({ skipped }) => skipped),
  };
}

export function summaryOf(results: readonly StepResult[], seconds: number): string {
  const rows = results.map(({ name, passed, failures, skipped, seconds: took }) => {
    const verdict = failures.length > 0 ? 'FAILED' : 'ok';
    const counts = [
      `${passed} passed`,
      `${failures.length} failed`,
      ...(skipped.length > 0 ? [`${skipped.length} skipped`] : []),
    ];
    return `  ${name.padEnd(16)} ${verdict.padEnd(7)} ${counts.join(', ').padEnd(36)} ${took.toFixed(1)} s`;
  });
  return [
    '',
    '=== summary',
    ...rows,
    ...section('failed:', results, ({ failures }) => failures),
    ...section('failed at first, then run once more:', results, ({ triedAgain }) => triedAgain ?? []),
    ...section('skipped:', results, ({ skipped }) => byReason(skipped)),
    `${oneLine(results)} in ${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`,
  ].join('\n');
}

/** `N passed, N failed`, and `, N skipped` where something was. */
export function oneLine(results: readonly StepResult[]): string {
  const sum = (count: (result: StepResult) => number) => results.reduce((total, result) => total + count(result), 0);
  const skipped = sum((result) => result.skipped.length);
  const line = `${sum((result) => result.passed)} passed, ${sum((result) => result.failures.length)} failed`;
  return skipped === 0 ? line : `${line}, ${skipped} skipped`;
}

function section(
  title: string,
  results: readonly StepResult[],
  linesOf: (result: StepResult) => readonly string[],
): string[] {
  const lines = results.flatMap((result) => linesOf(result).map((line) => `  ${result.name}: ${firstLines(line)}`));
  return lines.length === 0 ? [] : [title, ...lines];
}

/** One line for each reason: a title, and how many others share it. */
function byReason(skipped: Counts['skipped']): string[] {
  return [...Map.groupBy(skipped, ({ reason }) => reason)].map(([reason, [first, ...others]]) => {
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    return `${first?.title}${more}: ${reason}`;
  });
}

function firstLines(text: string): string {
  return text.split('\n').slice(0, 3).join('\n    ');
}

function readJson(file: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
