import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, closeSync, fsyncSync, openSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** So many of the newest files stay, so that the volume does not fill up. */
const KEPT = 100;
const PAUSE_MS = 5;

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
  const file = openSync(path.join(dir, String(number)), 'wx');
  writeFileSync(file, content);
  fsyncSync(file);
  closeSync(file);
  writeSync(log, line);
  fsyncSync(log);
  appendFileSync(acknowledgedPath, line);
  if (number >= KEPT) unlinkSync(path.join(dir, String(number - KEPT)));
  await sleep(PAUSE_MS);
}
