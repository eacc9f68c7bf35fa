import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, fsyncSync, openSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** So many of the newest files stay, so that the volume does not fill up. */
const KEPT = 100;
const PAUSE_MS = 5;
/** How long it goes on trying when there is no space: a shrink looks and thinks while it has closed the end, slowly on a slow machine. */
const PATIENCE_MS = 60_000;

const [dir = '', acknowledgedPath = ''] = process.argv.slice(2);
let stopped = false;
process.once('SIGTERM', () => {
  stopped = true;
});

// Open all the time, as a database's log would be.
const log = openSync(path.join(dir, 'log'), 'a');
for (let number = 0; !stopped; number++) {
  const content = randomBytes(1 + ((number * 7919) % 200_000));
  const line = `${number} ${createHash('sha256').update(content).digest('hex')}\n`;
  await patiently(() => writeFileSync(path.join(dir, String(number)), content, { flush: true }));
  await patiently(() => writeSync(log, line));
  await patiently(() => fsyncSync(log));
  appendFileSync(acknowledgedPath, line);
  if (number >= KEPT) unlinkSync(path.join(dir, String(number - KEPT)));
  await sleep(PAUSE_MS);
}

/** Does it again as long as there is no space for it, and says so; any other failure ends the process. */
async function patiently(write: () => unknown): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; ; ) {
    try {
      write();
      return;
    } catch (error) {
      const isFull = error instanceof Error && 'code' in error && error.code === 'ENOSPC';
      if (!isFull || performance.now() > deadline) throw error;
      console.log('no space');
      await sleep(PAUSE_MS);
    }
  }
}
