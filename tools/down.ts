// Ends what `make up` started and removes all it made, also when its process was killed: what `make down` runs.
import { existsSync } from 'node:fs';
import { removeLeftovers } from '../test/cluster/host-leftovers.ts';
import { ownerOf } from '../test/cluster/run-dir.ts';
import { waitFor } from '../test/cluster/wait-for.ts';
import { keeperPid, statePath } from './local-state.ts';

if (existsSync(statePath)) {
  const pid = keeperPid();
  if (pid !== undefined && ownerOf(statePath) === 'alive') {
    process.kill(pid, 'SIGTERM');
    await waitFor(() => ownerOf(statePath) !== 'alive', { what: 'end of the cluster', timeoutMs: 40_000 }).catch(
      (error: Error) => console.error(`${error.message}: it is killed`),
    );
  }
  await removeLeftovers(statePath, 'marked');
  console.log('Down: nothing of it is left on this machine.');
} else {
  console.log('Nothing is up.');
}
