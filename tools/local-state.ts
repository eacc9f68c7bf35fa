import { readFileSync } from 'node:fs';
import path from 'node:path';
import { findUsers } from '../test/cluster/host-leftovers.ts';

/** Where `make up` keeps its one cluster: a fixed place, so that `make down` finds it. */
export const statePath = '/var/tmp/btrfs-operator-up';

/** Written by the cluster's process when all is ready; a shell sources it. */
export const shellPath = path.join(statePath, 'env');

/** The process that keeps the cluster; `undefined` if the state says none. */
export function keeperPid(): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(path.join(statePath, 'owner'), 'utf8'), 10);
    return Number.isNaN(pid) ? undefined : pid;
  } catch {
    return undefined;
  }
}

/** What a person has to end before the cluster can be removed; `undefined` if nothing. */
export function whatUsesVolumes(): string | undefined {
  const users = findUsers(statePath).map(
    ({ pid, command, path: at }) => `  process ${pid} (${command.slice(0, 80)}) in ${at}`,
  );
  if (users.length === 0) return undefined;
  return ['Volumes of the cluster are in use by:', ...users].join('\n');
}
