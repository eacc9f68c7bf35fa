import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { transfersOf } from '../../crash/transfers.ts';
import { dataPathOf, startLab } from '../lab.ts';
import { mountsBelow, sh } from '../recovery/host-view.ts';
import { pathOf, snapshotKit } from './kit.ts';
import { subvolumesOf } from './on-disk.ts';
import { startTransferProxy } from './transfer-proxy.ts';

const MiB = 1024 * 1024;
/** Of the file in Snapshot `big`: more than pipes and sockets between the two ends hold. */
const BIG_BYTES = 24 * MiB;
/** After so much a transfer is well under way. */
const BEGUN_BYTES = 2 * MiB;

export interface TwoNodesOptions {
  readonly senderFlags?: readonly string[];
  readonly receiverFlags?: readonly string[];
}

/** Volume `here` on node-a holds the committed Snapshot `big`; volume `there` on node-b gets copies, through a proxy. */
export async function startTwoNodes({ senderFlags = [], receiverFlags = [] }: TwoNodesOptions = {}) {
  const proxy = await startTransferProxy();
  const lab = await startLab();
  const snapshots = snapshotKit(lab);
  const startSender = () => lab.startAgent('node-a', { flags: [...proxy.flags, ...senderFlags] });
  const startReceiver = () => lab.startAgent('node-b', { flags: receiverFlags });
  const agents = { sender: await startSender(), receiver: await startReceiver() };
  await lab.createVolume('here', { nodeName: 'node-a' });
  await lab.createVolume('there', { nodeName: 'node-b' });
  const dataPath = dataPathOf(await lab.ready('here'));
  const { mountPath: thereMountPath = '' } = (await lab.ready('there')).status;
  const bigPath = path.join(dataPath, 'big');
  execFileSync('dd', ['if=/dev/urandom', `of=${bigPath}`, 'bs=1M', `count=${BIG_BYTES / MiB}`, 'status=none']);
  await snapshots.create('big', 'here');
  await snapshots.ready('big');

  const transfers = () => ['node-a', 'node-b'].flatMap((nodeName) => transfersOf(lab.rootPath(nodeName)));
  const create = (name: string, spec: Record<string, unknown> = {}) =>
    snapshots.create(name, 'there', { source: { snapshotRef: { name: 'big' } }, ...spec });

  return {
    lab,
    proxy,
    snapshots,
    agents,
    dataPath,
    transfers,
    /** A Snapshot in `there` of `big`, unless the spec says another source. */
    create,

    /** A copy of `big` in the middle of its way. */
    async begin(name: string): Promise<Snapshot> {
      proxy.hold(BEGUN_BYTES);
      const copy = await create(name);
      await waitFor(() => proxy.passedBytes >= BEGUN_BYTES && transfers().some((line) => line.includes(' receive ')), {
        what: `beginning of ${name}`,
        timeoutMs: 30_000,
      });
      return copy;
    },

    /** Nothing of it looks like a snapshot: not in the API, not on disk. */
    async expectNotMade({ metadata: { name, uid } }: Snapshot): Promise<void> {
      const found = await snapshots.client.get(`default/${name}`);
      expect([found?.status.uuid, found?.status.path, found?.status.receivedUUID]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect(subvolumesOf(thereMountPath).filter((each) => each.startsWith(`snapshots/${uid}`))).toEqual([]);
    },

    /** It has become Ready by itself, with the content of `big`, and is all that is left of the transfer; then it is removed. */
    async expectWholeAndRemove(name: string): Promise<Snapshot> {
      const copy = await snapshots.ready(name, 60_000);
      sh('cmp', path.join(pathOf(copy), 'big'), bigPath);
      expect(copy.status.transfer).toMatchObject({ phase: 'Done' });
      await this.expectNothingLeft();
      await snapshots.remove(name);
      return copy;
    },

    /** No process, mount, directory or subvolume of a transfer is left on either node. */
    async expectNothingLeft(): Promise<void> {
      await waitFor(() => transfers().length === 0, { what: 'end of btrfs send and receive' });
      const volumesPath = path.join(lab.rootPath('node-b'), 'volumes');
      await waitFor(() => !readdirSync(volumesPath).some((name) => name.startsWith('.receiving-')), {
        what: 'end of .receiving-*',
      });
      expect(mountsBelow(volumesPath).filter((line) => line.includes('.receiving-'))).toEqual([]);
      expect(subvolumesOf(thereMountPath).filter((each) => each.startsWith('staging/'))).toEqual([]);
    },
    startSender,
    startReceiver,
    async [Symbol.asyncDispose]() {
      proxy.release();
      await lab[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

export type TwoNodes = Awaited<ReturnType<typeof startTwoNodes>>;
