import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Child, logTail, startChild } from '../../cluster/child.ts';
import { runDirVariable } from '../../cluster/host-leftovers.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { sha256 } from './kernel.ts';

export interface Writer extends AsyncDisposable {
  /** Number of files that were written and synced so far. */
  acknowledged(): number;
  /** Waits until so many more files were written; throws when the writer has ended, e.g. by an error of the volume. */
  writes(more: number): Promise<void>;
  /** How often it was told that there is no space, and tried again. */
  refused(): number;
  /** It does nothing until it is resumed. */
  pause(): void;
  resume(): void;
  /** Ends it in order, and throws if it had failed before. */
  stop(): Promise<void>;
  /** Names of files that are not as they were acknowledged, in a volume whose data is at `dataPath` now. */
  damaged(dataPath: string): string[];
}

/** A process that writes, syncs and deletes files with known checksums in `<dataPath>/<name>` until it is stopped. */
export function startWriter(options: {
  readonly dataPath: string;
  readonly logDir: string;
  readonly name: string;
}): Writer {
  const { dataPath, logDir, name } = options;
  const acknowledgedPath = path.join(logDir, `${name}.acknowledged`);
  writeFileSync(acknowledgedPath, '');
  mkdirSync(path.join(dataPath, name));
  const child: Child = startChild({
    name: 'writer',
    file: process.execPath,
    args: [path.join(import.meta.dirname, 'writer-process.ts'), path.join(dataPath, name), acknowledgedPath],
    env: { PATH: process.env.PATH ?? '', [runDirVariable]: logDir },
    logPath: path.join(logDir, `${name}.log`),
  });
  const lines = () => readFileSync(acknowledgedPath, 'utf8').split('\n').slice(0, -1);
  const failed = () => new Error(`the writer ended:\n${logTail(child)}`);
  return {
    acknowledged: () => lines().length,
    async writes(more) {
      const enough = lines().length + more;
      await waitFor(() => lines().length >= enough, {
        what: `${more} more files of the writer`,
        timeoutMs: 90_000,
        giveUp() {
          if (!child.running) throw failed();
        },
      });
    },
    refused: () => child.log().match(/^no space$/gm)?.length ?? 0,
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    async stop() {
      if (!child.running) throw failed();
      const { code } = await child.end();
      if (code !== 0) throw failed();
    },
    damaged: (nowPath) => damagedFiles(path.join(nowPath, name), lines()),
    [Symbol.asyncDispose]: async () => void (await child.end()),
  };
}

function damagedFiles(dir: string, acknowledged: readonly string[]): string[] {
  const kept = acknowledged.slice(-100).map((line) => line.split(' ') as [string, string]);
  const files = kept.filter(([file, sum]) => sha256(path.join(dir, file)) !== sum).map(([file]) => file);
  const log = readFileSync(path.join(dir, 'log'), 'utf8').split('\n').slice(0, acknowledged.length);
  return log.join('\n') === acknowledged.join('\n') ? files : [...files, 'log'];
}
