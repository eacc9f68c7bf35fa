import { appendFileSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, isSettled, type Lab, startLab } from '../lab.ts';
import { loopsOf, sh } from '../recovery/host-view.ts';
import { changesSince, commandsSince, markOf, passEnded } from './commands.ts';
import { leftOf, mountAt } from './kernel.ts';

let lab: Lab;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

async function create(name: string, spec: Record<string, unknown> = {}): Promise<LoopbackVolume> {
  await lab.createVolume(name, { size: '256Mi', nodeName: 'node-a', ...spec });
  return await lab.ready(name);
}

/** Ready for its last generation, with this reason. */
const readyBecause = (name: string, reason: string) =>
  lab.volumeThat(name, (now) => isSettled(now, 'True') && conditionOf(now, 'Ready')?.reason === reason, 20_000);

/** What this machine has of a volume besides its image. */
function attachments({ status }: LoopbackVolume) {
  const { mountPath = '', imagePath = '' } = status;
  return { mount: mountAt(mountPath), loops: loopsOf(imagePath), directory: existsSync(mountPath) };
}

const NOTHING = { mount: undefined, loops: [], directory: false };

describe('LoopbackVolume: unmounting', () => {
  it('A12 A14 LoopbackVolume: mounted: false unmounts, detaches and removes the directory; the image and its data stay', async () => {
    const up = await create('down-and-up');
    writeFileSync(path.join(dataPathOf(up), 'kept'), 'kept');
    await lab.change('down-and-up', { mounted: false });
    const down = await readyBecause('down-and-up', 'Unmounted');
    expect(attachments(up)).toEqual(NOTHING);
    const { mountPath, loopDevice, mountOptions, sizeBytes, imagePath = '' } = down.status;
    expect([mountPath, loopDevice, mountOptions, sizeBytes]).toEqual([undefined, undefined, undefined, 256 * 2 ** 20]);
    expect(existsSync(imagePath)).toBe(true);
    await lab.change('down-and-up', { mounted: true });
    const again = await readyBecause('down-and-up', 'Ready');
    expect(again.status.mountPath).toBe(up.status.mountPath);
    expect(readFileSync(path.join(dataPathOf(again), 'kept'), 'utf8')).toBe('kept');
  });

  it('A12 LoopbackVolume: deleting the object leaves nothing on the node', async () => {
    const { metadata, status } = await create('deleted');
    const device = path.basename(status.loopDevice ?? '');
    await lab.remove('deleted');
    expect(leftOf(lab.rootPath('node-a')).filter((left) => left.includes(metadata.uid))).toEqual([]);
    const backing = `/sys/block/${device}/loop/backing_file`;
    expect(existsSync(backing) ? readFileSync(backing, 'utf8') : '').not.toContain(metadata.uid);
  });

  it('LoopbackVolume: unmounted by hand it is mounted again, also when that comes at once after the last time', async () => {
    const { status } = await create('again-and-again');
    const { mountPath = '', loopDevice = '' } = status;
    for (let times = 0; times < 3; times++) {
      // The agent may have a look into it just now.
      await waitFor(() => sh('umount', mountPath) === '', { what: `unmount ${times + 1}`, everyMs: 5 });
      if (times === 1) sh('losetup', '--detach', loopDevice);
      await waitFor(() => mountAt(mountPath) !== undefined, { what: `mount after ${times + 1} times`, everyMs: 5 });
    }
    await readyBecause('again-and-again', 'Ready');
  });

  it.each(['mounted: false', 'deletion'])(
    'A12 LoopbackVolume: %s succeeds when somebody has unmounted and detached before',
    async (way) => {
      const name = `by-hand-${way.slice(0, 3)}`;
      const { status } = await create(name);
      agent.kill('SIGSTOP'); // else it mounts what is missing again
      sh('umount', status.mountPath ?? '');
      sh('losetup', '--detach', status.loopDevice ?? '');
      sh('chattr', '-i', status.mountPath ?? '');
      rmdirSync(status.mountPath ?? '');
      if (way === 'deletion') await lab.volumes.delete(`default/${name}`);
      else await lab.change(name, { mounted: false });
      agent.kill('SIGCONT');
      if (way === 'deletion') await lab.volumeGone(name);
      else await readyBecause(name, 'Unmounted');
      expect(existsSync(status.mountPath ?? '')).toBe(false);
    },
  );

  it('A12 LoopbackVolume: with several bind mounts it is not taken down, none of them is touched, and it goes on when they end', async () => {
    const volume = await create('bound');
    const places = ['first', 'second'].map((name) => path.join(lab.dir, `bind-${name}`));
    for (const place of places) {
      mkdirSync(place);
      sh('mount', '--bind', dataPathOf(volume), place);
    }
    await lab.change('bound', { size: '300Mi' }); // all else goes on
    await readyBecause('bound', 'Ready');
    await lab.change('bound', { mounted: false });
    for (const place of places) {
      const inUse = await lab.withReason('bound', 'Ready', 'InUse');
      expect(conditionOf(inUse, 'Ready')?.message).toContain(place);
      writeFileSync(path.join(place, 'written'), 'while in use');
      expect(mountAt(volume.status.mountPath ?? '')?.id).toBeDefined();
      sh('umount', place);
    }
    await readyBecause('bound', 'Unmounted');
    expect(attachments(volume)).toEqual(NOTHING);
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'A12 LoopbackVolume: an agent that ends by %s and its successor leave the mount as it is',
    async (signal) => {
      const volume = await create(`restart-${signal.toLowerCase()}`);
      const before = attachments(volume);
      agent.kill(signal);
      await agent.exited;
      expect(attachments(volume)).toEqual(before);
      appendFileSync(path.join(dataPathOf(volume), 'file'), 'without an agent');
      agent = await lab.startAgent('node-a');
      await passEnded(agent, volume.metadata.name, 0);
      expect(attachments(volume)).toEqual(before);
      expect(changesSince(agent, 0)).toEqual([]);
      expect((await lab.ready(volume.metadata.name)).status.mountPath).toBe(volume.status.mountPath);
    },
  );
});

describe('LoopbackVolume: labels and annotations', () => {
  it('D20 LoopbackVolume: changing them runs no command and writes no status', async () => {
    const volume = await create('tagged');
    const other = await create('untagged');
    const mark = markOf(agent);
    const metadata = { labels: { tier: 'gold' }, annotations: { note: 'said' } };
    const tagged = await lab.volumes.patch('default/tagged', { metadata }, { type: 'merge' });
    // The watch tells in order: when the agent has followed this change, it has seen the one before.
    await lab.change('untagged', { label: 'seen' });
    await passEnded(agent, other.metadata.name, mark);
    await lab.ready('untagged');
    const own = [volume.metadata.uid, `${volume.status.loopDevice}`];
    // A look for orphans comes some time after a volume was mounted.
    const commands = commandsSince(agent, mark).filter((line) => !line.startsWith('btrfs subvolume list '));
    expect(commands.filter((line) => own.some((word) => line.includes(word)))).toEqual([]);
    expect((await lab.volumes.get('default/tagged'))?.metadata.resourceVersion).toBe(tagged.metadata.resourceVersion);
  });
});

describe('LoopbackVolume: mount namespaces', () => {
  /** As in a pod: a mount namespace of its own, with the root directory shared both ways; mounts of others are none of its business. */
  const podLike = [
    ...['unshare', '--mount', '--propagation', 'unchanged', 'sh', '-c'],
    `awk '/ - [^ ]+ \\/dev\\/loop/ { print $5 }' /proc/self/mountinfo | tac | while read -r at; do
       mount --make-private "$at"; umount "$at"
     done 2>/dev/null; exec "$@"`,
    'sh',
  ];

  it('A22 LoopbackVolume: what an agent in a pod mounts is on the host and in what starts later, and so is its end', async () => {
    const rootPath = lab.rootPath('node-pod');
    mkdirSync(rootPath);
    sh('mount', '--bind', rootPath, rootPath);
    sh('mount', '--make-rshared', rootPath);
    const podAgent = await lab.startAgent('node-pod', { wrapper: podLike });
    const namespaceOf = (pid: number) => sh('readlink', `/proc/${pid}/ns/mnt`);
    expect(namespaceOf(podAgent.pid)).not.toBe(namespaceOf(process.pid));
    const volume = await create('podded', { nodeName: 'node-pod' });
    expect(mountAt(volume.status.mountPath ?? '')?.source).toBe(volume.status.loopDevice);
    const file = path.join(dataPathOf(volume), 'file');
    writeFileSync(file, 'from the host');
    expect(sh('unshare', '--mount', '--propagation', 'slave', 'cat', file)).toBe('from the host');
    await lab.change('podded', { mounted: false });
    await readyBecause('podded', 'Unmounted');
    expect(attachments(volume)).toEqual(NOTHING);
    await lab.remove('podded');
    await podAgent.end();
    sh('umount', rootPath);
  });
});
