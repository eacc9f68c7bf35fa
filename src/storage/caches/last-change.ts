import { buffer } from 'node:stream/consumers';
import { sendCommand } from '../../host/btrfs-stream.ts';
import { startCommand } from '../../host/run.ts';
import { snapshotSubvolume } from '../../host/subvolume.ts';
import { attempt, type Storage } from '../context.ts';
import { treeLayout } from '../layout.ts';
import { MOST_COMMAND_BYTES_V1 } from '../streams/stream-format.ts';
import { StreamParser } from '../streams/stream-parser.ts';
import type { Tree } from '../tree.ts';

/** The stream has two commands. */
const TIMEOUT_MS = 60_000;

/**
 * The btrfs generation in which something in a clone was changed last, by somebody who works in it. That of the subvolume itself
 * grows, too, when its blocks are moved (balance, shrink, minimize) or when it is snapshotted; this one (`ctransid` of its root item)
 * only with an inode of it. No btrfs-progs up to 6.2 show it but in a send stream: that of a snapshot against itself holds nothing
 * else. What was not synced does not count. The snapshot is in staging, and is gone afterwards.
 */
export async function readLastChange(storage: Pick<Storage, 'options'>, tree: Tree, uid: string): Promise<number> {
  return await attempt('find out whether the clone has changed', async () => {
    const stagingPath = treeLayout.stagingPath(uid);
    const path = `${tree.path}/${stagingPath}`;
    await tree.removeSubvolume(stagingPath);
    await snapshotSubvolume(tree.run, `${tree.path}/${treeLayout.clonePath(uid, 'ReadWrite')}`, path, 'ReadOnly');
    const send = { ...sendCommand({ path, parentPath: path }), timeoutMs: TIMEOUT_MS };
    const { stdout, ended } = startCommand(send, storage.options);
    const [stream] = await Promise.all([buffer(stdout), ended]);
    await tree.removeSubvolumes([stagingPath]);
    return lastChangeIn(stream);
  });
}

/** From a whole stream of one subvolume. Throws if it is none. */
function lastChangeIn(stream: Buffer): number {
  let lastChange: bigint | undefined;
  const parser = new StreamParser(MOST_COMMAND_BYTES_V1, (command) => {
    if (command.name === 'snapshot' || command.name === 'subvol') lastChange = command.u64('ctransid');
  });
  parser.push(stream);
  parser.finish();
  if (lastChange === undefined) throw new Error('a send stream names no subvolume');
  return Number(lastChange);
}
