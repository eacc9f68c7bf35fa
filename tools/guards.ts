// Breaks one promise after the other in a copy of the checkout, and runs the test that must notice. Words among the arguments
// choose: the guards whose promise or file contains one of them. Ends with the line `N passed, N failed`.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createRunDir, guardRunDir } from '../test/cluster/run-dir.ts';
import { complaintOf, type Guard } from '../test/guards/guard.ts';
import { guards } from '../test/guards/guards.ts';
import { readReport } from './test-summary.ts';

const repositoryPath = path.resolve(import.meta.dirname, '..');
const runDir = createRunDir(tmpdir(), 'btrfs-operator-guards-');
guardRunDir(runDir, 'marked');
const copyPath = path.join(runDir, 'checkout');
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (interrupted = true));

copyCheckout();
const words = process.argv.slice(2);
const wanted = guards.filter(
  ({ promise, file }) => words.length === 0 || words.some((word) => `${promise} ${file}`.includes(word)),
);
let failed = 0;
let tried = 0;
for (const guard of wanted) {
  if (interrupted) break;
  const complaint = tryGuard(guard);
  if (interrupted) break;
  tried++;
  if (complaint !== undefined) failed++;
  console.log(
    `${complaint === undefined ? 'noticed ' : 'MISSED  '} ${guard.promise}: ${guard.breaks} (${complaint ?? guard.test})`,
  );
}
rmSync(runDir, { recursive: true, force: true });
if (interrupted) console.log('interrupted: not all of it ran');
console.log(`${tried - failed} passed, ${failed} failed`);
process.exit(interrupted ? 130 : failed > 0 || tried === 0 ? 1 : 0);

/** What git would commit, with the changes that are not committed yet; installed packages are shared. */
function copyCheckout(): void {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: repositoryPath,
    encoding: 'utf8',
  });
  for (const file of list.split('\0').filter(Boolean)) {
    const target = path.join(copyPath, file);
    mkdirSync(path.dirname(target), { recursive: true });
    cpSync(path.join(repositoryPath, file), target, { errorOnExist: true });
  }
  symlinkSync(path.join(repositoryPath, 'node_modules'), path.join(copyPath, 'node_modules'));
}

/** What is wrong with the guard; undefined = its test fails when the promise is broken, as it should. */
function tryGuard(guard: Guard): string | undefined {
  const file = path.join(copyPath, guard.file);
  const text = readFileSync(file, 'utf8');
  const complaint = complaintOf(guard, text);
  if (complaint !== undefined) return complaint;
  writeFileSync(
    file,
    text.replace(guard.from, () => guard.to),
  );
  try {
    return complaintAboutRun(guard);
  } finally {
    writeFileSync(file, text);
  }
}

function complaintAboutRun({ test, title }: Guard): string | undefined {
  const [, project = ''] = test.split('/');
  const reportPath = path.join(runDir, 'report.json');
  rmSync(reportPath, { force: true });
  const filter = title === undefined ? [] : ['--testNamePattern', title];
  const args = ['run', '--project', project, '--reporter=tools/count-reporter.ts', ...filter, test];
  const { status, stderr } = spawnSync(path.join(copyPath, 'node_modules/.bin/vitest'), args, {
    cwd: copyPath,
    env: { ...process.env, COUNT_REPORT: reportPath },
    encoding: 'utf8',
  });
  const counts = Object.values(readReport(reportPath, status ?? 1).files);
  if (counts.every(({ passed, failures }) => passed + failures.length === 0))
    return `no test ran: ${stderr.trim().slice(-300)}`;
  // A file that could not be loaded fails as well, but no test of it has.
  const noticed = counts.some(({ failures }) => failures.some((failure) => !failure.startsWith(`${test}: Error`)));
  return noticed ? undefined : `${test} passes all the same`;
}
