// Waits until the process that started us is gone, however it ended, and removes what it left: see guardRunDir. The
// directory comes by stdin, as a process that names it in its arguments would be taken for one of the run's own.
import { text } from 'node:stream/consumers';
import { removeLeftovers } from './host-leftovers.ts';

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
const [, victims, dir] = /^(marked|all) (\/.*)$/.exec(await text(process.stdin)) ?? [];
if (dir !== undefined) await removeLeftovers(dir, victims === 'all' ? 'all' : 'marked');
