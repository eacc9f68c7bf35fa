// Everything that has to hold before a change is trusted, in one run with one summary: what `make test` runs.
// Arguments name steps to run; none = all but stress and e2e, --all = all. With --one-line the last line is `N passed, N failed`.
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createRunDir, guardRunDir, removeStaleRunDirs } from '../test/cluster/run-dir.ts';
import {
  countsOf,
  failedFilesOf,
  mergedReport,
  oneLine,
  type Report,
  readReport,
  type StepResult,
  summaryOf,
} from './test-summary.ts';

const repositoryPath = path.resolve(import.meta.dirname, '..');
const binPath = path.join(repositoryPath, 'node_modules/.bin');
const reportsPath = createRunDir(tmpdir(), 'btrfs-operator-reports-');
guardRunDir(reportsPath, 'marked');

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** Where count-reporter.ts writes; a step without a report counts as one test. */
  readonly reportPath?: string;
}

function vitestStep(name: string, runner = ['vitest', 'run', '--project', name]): Step {
  const reportPath = path.join(reportsPath, `${name.replace(' ', '-')}.json`);
  return { name, command: [...runner, '--reporter=default', '--reporter=tools/count-reporter.ts'], reportPath };
}

/** They take their time: a change must pass them, but not each try of one. */
const LONG = ['stress', 'e2e'];

const steps: readonly Step[] = [
  { name: 'lint', command: ['biome', 'check', '--error-on-warnings', '.'] },
  { name: 'types', command: ['tsc', '--noEmit'] },
  { name: 'generated files', command: ['node', 'tools/generate.ts', '--check'] },
  vitestStep('unit'),
  vitestStep('contract'),
  vitestStep('integration'),
  vitestStep('stress'),
  vitestStep('e2e', ['node', 'tools/e2e.ts']),
];

const MAX_FILES_TRIED_AGAIN = 8;

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (interrupted = true));

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const startedAt = performance.now();
const results: StepResult[] = [];
for (const step of steps) {
  if (interrupted) break;
  if (isWanted(step)) results.push(await runStep(step));
}
rmSync(reportsPath, { recursive: true, force: true });
// A run that ends in order has cleaned up; one that was interrupted or killed may not have.
await removeStaleRunDirs(tmpdir(), 'btrfs-operator-test-', 'all');

console.log(summaryOf(results, (performance.now() - startedAt) / 1000));
if (interrupted) console.log('interrupted: not all of it ran');
const failed = results.some((result) => result.failures.length > 0) || results.every((result) => result.passed === 0);
if (process.argv.includes('--one-line')) console.log(oneLine(results));
process.exit(interrupted ? 130 : failed ? 1 : 0);

function isWanted({ name }: Step): boolean {
  if (wanted.length > 0) return wanted.includes(name);
  return !LONG.includes(name) || process.argv.includes('--all');
}

async function runStep({ name, command, reportPath }: Step): Promise<StepResult> {
  console.log(`\n=== ${name}: ${command.slice(0, 4).join(' ')}`);
  const from = performance.now();
  const secondsSoFar = () => (performance.now() - from) / 1000;
  if (reportPath === undefined) {
    const ok = (await run(command)) === 0;
    return { name, seconds: secondsSoFar(), passed: ok ? 1 : 0, skipped: [], failures: ok ? [] : [name] };
  }
  const first = await report(command, reportPath);
  const last = await tryAgain(command, reportPath, first);
  const triedAgain = last === first ? [] : countsOf(first).failures;
  return { name, seconds: secondsSoFar(), ...countsOf(last), triedAgain };
}

async function report(command: readonly string[], reportPath: string): Promise<Report> {
  rmSync(reportPath, { force: true });
  return readReport(reportPath, await run(command, { COUNT_REPORT: reportPath }));
}

/**
 * Small, shared machines stall for seconds: what failed is run once more, one whole file after the other, since the objects of a
 * broken test are in the way of the next try. So many failures are no stall.
 */
async function tryAgain(command: readonly string[], reportPath: string, first: Report): Promise<Report> {
  const files = failedFilesOf(first);
  if (interrupted || files.length === 0 || files.length > MAX_FILES_TRIED_AGAIN) return first;
  console.log(`\n=== once more, one after the other: ${files.join(' ')}`);
  return mergedReport(first, await report([...command, '--no-file-parallelism', ...files], reportPath));
}

/** The exit code; the command gets our signals, also when it is not in the terminal's foreground group, and if we die. */
function run([file = '', ...args]: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  const child = spawn('setpriv', ['--pdeathsig', 'INT', '--', file, ...args], {
    cwd: repositoryPath,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env, PATH: `${binPath}:${process.env.PATH}` },
    detached: true, // Ctrl-C reaches it once, through us: two make vitest give up its own cleaning
  });
  const forward = () => child.kill('SIGINT');
  process.on('SIGINT', forward).on('SIGTERM', forward);
  return new Promise<number>((resolve) => {
    child.once('error', (error) => {
      console.error(`${file}: ${error.message}`);
      resolve(127);
    });
    child.once('exit', (code) => resolve(code ?? 1));
  }).finally(() => process.off('SIGINT', forward).off('SIGTERM', forward));
}
