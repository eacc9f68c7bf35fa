// Ends what `make up` started and removes all it made, also when its process was killed: what `make down` runs.
import { existsSync } from 'node:fs';
import { removeLeftovers } from '../test/cluster/host-leftovers.ts';
import { ownerOf } from '../test/cluster/run-dir.ts';
import { waitFor } from '../test/cluster/wait-for.ts';
import { keeperPid, statePath, whatUsesVolumes } from './local-state.ts';

process.exitCode = await takeDown();

async function takeDown(): Promise<number> {
  if (!existsSync(statePath)) {
    console.log('Nothing is up.');
    return 0;
  }
  const inUse = whatUsesVolumes();
  if (inUse !== undefined) {
    console.error(`${inUse}\nNothing was touched. End that or let it leave (cd /), then run \`make down\` again.`);
    return 1;
  }
  await endKeeper();
  try {
    await removeLeftovers(statePath, 'marked');
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\nEnd what uses it, then run \`make down\` again.`);
    return 1;
  }
  console.log('Down: nothing of it is left on this machine.');
  return 0;
}

async function endKeeper(): Promise<void> {
  const pid = keeperPid();
  if (pid === undefined || ownerOf(statePath) !== 'alive') return;
  process.kill(pid, 'SIGTERM');
  await waitFor(() => ownerOf(statePath) !== 'alive', { what: 'end of the cluster', timeoutMs: 40_000 }).catch(
    (error: Error) => console.error(`${error.message}: it is killed`),
  );
}
