import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { withIncoming } from '../../../src/agent/incoming-content.ts';
import { mountAt, readMounts } from '../../../src/host/mountinfo.ts';
import { receiveSnapshot } from '../../../src/storage/snapshots/receive.ts';
import { attemptReceive } from '../../../src/storage/streams/receive-complaint.ts';
import { type StreamLimits, strictStreamLimits } from '../../../src/storage/streams/validate-stream.ts';
import { command, full } from '../../builders/send-stream.ts';
import { sh } from '../recovery/host-view.ts';
import { commandPathWith, openStore, type Store, scratchDir } from '../storage/store.ts';
import { sendStream, snapshotOf, writeRichTree } from './rich-tree.ts';

/** What the product itself calls when it receives from outside the node: no receiver of a test stands in its place. */

const signal = new AbortController().signal;
const identity = () => ({ uid: randomUUID(), namespace: 'default', name: 'received' });

interface Wanted {
  readonly limits?: Partial<StreamLimits>;
  /** `any`: whatever the stream says; its UUID if absent. */
  readonly expectedUUID?: string;
  readonly snapshotUid?: string;
}

/** A Snapshot of this stream in this volume, as an agent makes it. */
async function receive({ storage }: Store, volumeUid: string, stream: Readable, wanted: Wanted = {}) {
  const streamLimits = { ...strictStreamLimits, ...wanted.limits };
  const snapshot = { ...identity(), uid: wanted.snapshotUid ?? randomUUID() };
  await storage.withTree(volumeUid, (tree) =>
    withIncoming({ storage, streamLimits }, stream, signal, ({ summary, receiveInto }) =>
      receiveSnapshot(
        storage,
        tree,
        snapshot,
        { access: 'ReadOnly', owner: undefined },
        {
          expectedUUID: wanted.expectedUUID === 'any' ? undefined : (wanted.expectedUUID ?? summary.uuid),
          receive: (staging) => attemptReceive(() => receiveInto(tree, snapshot.uid, () => undefined)(staging)),
        },
      ),
    ),
  );
  return `${storage.layout.volumePath(volumeUid)}/snapshots/${snapshot.uid}/ro`;
}

/** Process of the receive that runs in this store. */
function receiverOf({ layout }: Store, uid: string): string {
  return sh('pgrep', '--full', '--exact', `btrfs receive .* ${layout.receivingPath(uid)}`).trim();
}

const statusOf = (pid: string, name: string) =>
  readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${name}:\\s*(.*)$`, 'm'))?.[1];

/** Bits of capability.h. */
const bit = (...numbers: number[]) => numbers.reduce((bits, number) => bits | (1n << BigInt(number)), 0n);
const [CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_CHROOT, SYS_ADMIN, MKNOD, SETFCAP] = [0, 1, 3, 4, 18, 21, 27, 31];
const NEEDED = bit(CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_CHROOT, SYS_ADMIN);

describe('receiveConfined', { timeout: 120_000 }, () => {
  it.each([
    ['from outside', {}, NEEDED],
    ['that may hold all', { allowDeviceNodes: true, allowSetuid: true }, NEEDED | bit(MKNOD, SETFCAP)],
  ] as const)(
    'F2 A15 receiveConfined: a stream %s is received in a chroot, with few rights, no network, on a harmless mount',
    async (_, limits, rights) => {
      await using store = await openStore();
      const volumeUid = await store.mounted();
      const snapshotUid = randomUUID();
      const stream = full(command('mkfile', { path: 'a' }));
      const held = new PassThrough();
      held.write(stream.subarray(0, -10));
      const received = receive(store, volumeUid, held, { limits, snapshotUid });
      received.catch(() => undefined);
      const receivingPath = store.layout.receivingPath(snapshotUid);
      await expect.poll(() => sh('find', receivingPath, '-name', 'a'), { timeout: 10_000 }).toContain('received/a');

      const mount = mountAt(await readMounts(), receivingPath);
      expect(mount?.options).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'noexec', 'nosymfollow', 'noatime']));
      expect(mount?.root).toBe(`/.btrfs-operator/staging/${snapshotUid}`);
      const pid = receiverOf(store, snapshotUid);
      expect(readlinkSync(`/proc/${pid}/root`)).toBe(receivingPath);
      for (const set of ['CapEff', 'CapPrm', 'CapBnd']) {
        expect(BigInt(`0x${statusOf(pid, set)}`) & ~rights, set).toBe(0n);
      }
      expect(BigInt(`0x${statusOf(pid, 'CapInh')}`)).toBe(0n);
      expect(statusOf(pid, 'NoNewPrivs')).toBe('1');
      for (const name of ['net', 'ipc', 'uts']) {
        expect(readlinkSync(`/proc/${pid}/ns/${name}`), name).not.toBe(readlinkSync(`/proc/self/ns/${name}`));
      }
      const bounds = readFileSync(`/proc/${pid}/limits`, 'utf8');
      expect(bounds).toMatch(/^Max address space +1073741824 /m);
      expect(bounds).toMatch(/^Max core file size +0 +0 /m);

      held.end(stream.subarray(-10));
      expect(sh('ls', await received)).toBe('a');
      expect(mountAt(await readMounts(), receivingPath)).toBeUndefined();
    },
  );

  it('F2 receiveConfined: with these rights all that a tree may hold arrives', async () => {
    await using store = await openStore();
    const [from, to] = [await store.mounted(), await store.mounted()];
    const tree = path.join(store.layout.volumePath(from), 'data');
    writeRichTree(tree, ['/etc']);
    const setuid = path.join(tree, 'setuid');
    writeFileSync(setuid, 'x');
    sh('chmod', '6755', setuid);
    sh(
      'setfattr',
      '--name=security.capability',
      '--value=0x0100000200040000000000000000000000000000',
      path.join(tree, 'a/small'),
    );
    sh('mknod', path.join(tree, 'device'), 'b', '7', '0');
    const sent = snapshotOf(tree, path.join(store.layout.volumePath(from), 'snapshots-ro'));
    const limits = { allowDeviceNodes: true, allowSetuid: true, allowParentClones: true };
    const received = await receive(store, to, Readable.from([sendStream(sent)]), { limits });
    expect(listing(received)).toEqual(listing(sent));
  });
});

/** Kinds, modes, owners, sizes, targets, attributes and content. */
function listing(dir: string) {
  const found = sh('find', dir, '-printf', '%P %y %m %U:%G %s %l\\0').split('\0').toSorted();
  const run = (line: string) => execFileSync('bash', ['-c', line], { cwd: dir, encoding: 'utf8' });
  const attributes = run('find . -print0 | sort -z | xargs -0 getfattr --no-dereference --dump --match=-');
  const content = run('find . -type f -print0 | sort -z | xargs -0 sha256sum');
  return { found, attributes, content };
}

describe('an increment from outside the node', { timeout: 120_000 }, () => {
  it('F25 receiveConfined: makes directories that the parent had setgid, and no file; whiteouts come along', async () => {
    await using store = await openStore();
    const [from, to] = [await store.mounted(), await store.mounted()];
    const tree = path.join(store.layout.volumePath(from), 'data');
    const [shared, program] = [path.join(tree, 'shared'), path.join(tree, 'shared/program')];
    mkdirSync(shared);
    writeFileSync(program, 'x');
    const limits = { allowParentClones: true };
    const snapshots = ['first', 'second', 'third'].map((name) => path.join(store.layout.volumePath(from), name));
    const [first = '', second = '', third = ''] = snapshots;
    snapshotOf(tree, first);
    await receive(store, to, Readable.from([sendStream(first)]), { limits });
    sh('chmod', 'g+s', shared);
    sh('mknod', path.join(tree, 'deleted'), 'c', '0', '0');
    snapshotOf(tree, second);
    const received = await receive(store, to, Readable.from([sendStream(second, '-p', first)]), { limits });
    expect(listing(received)).toEqual(listing(second));

    sh('chmod', '2755', program);
    snapshotOf(tree, third);
    const stream = Readable.from([sendStream(third, '-p', second)]);
    await expect(receive(store, to, stream, { limits })).rejects.toMatchObject({
      reason: 'StreamRefused',
      message:
        'could not accept the stream: it makes "shared/program" setuid or setgid, which the configuration allows for directories only',
    });
  });
});

describe('receiveSnapshot', { timeout: 120_000 }, () => {
  it('A15 receiveSnapshot: what was received is synced before the step that puts it into its place', async () => {
    await using store = await openStore();
    const volumeUid = await store.mounted();
    const before = store.commands.length;
    await receive(store, volumeUid, Readable.from([full(command('mkfile', { path: 'a' }))]));
    const steps = store.commands.slice(before).flatMap(({ args }) => {
      const text = args.join(' ');
      return ['receive --quiet', 'filesystem sync', 'subvolume snapshot'].filter((step) => text.includes(step));
    });
    expect(steps.slice(0, 3)).toEqual(['receive --quiet', 'filesystem sync', 'subvolume snapshot']);
  });

  it('A15 receiveSnapshot: what does not have the UUID that is expected is not taken', async () => {
    await using store = await openStore();
    const volumeUid = await store.mounted();
    const stream = Readable.from([full()]);
    await expect(receive(store, volumeUid, stream, { expectedUUID: randomUUID() })).rejects.toMatchObject({
      reason: 'TransferFailed',
    });
    expect(subvolumesOf(store, volumeUid)).toEqual(['data']);
  });

  it.each([
    ['writable, and without a received UUID', 'btrfs property set -f -ts "$to/received" ro false'],
    ['no subvolume at all', 'btrfs subvolume delete "$to/received"'],
    ['two of them', 'btrfs subvolume snapshot -r "$to/received" "$to/second"'],
  ])('A15 receiveSnapshot: a receive that ends well and leaves %s counts as none', async (_, afterwards) => {
    await using scratch = scratchDir();
    const shims = path.join(scratch.dir, 'shims');
    mkdirSync(shims);
    const script = [
      '#!/bin/bash',
      `PATH=\${PATH#${shims}:}`,
      'btrfs "$@" || exit',
      `[ "$1" != receive ] || { to=\${@: -1}; ${afterwards} >&2; }`,
    ];
    writeFileSync(path.join(shims, 'btrfs'), `${script.join('\n')}\n`, { mode: 0o755 });
    await using store = await openStore({ commandPath: commandPathWith(shims) });
    const volumeUid = await store.mounted();
    const received = receive(store, volumeUid, Readable.from([full()]), { expectedUUID: 'any' });
    await expect(received).rejects.toMatchObject({ reason: 'TransferFailed' });
    expect(subvolumesOf(store, volumeUid)).toEqual(['data']);
  });
});

function subvolumesOf({ layout }: Store, volumeUid: string): string[] {
  return sh('btrfs', 'subvolume', 'list', '-o', layout.volumePath(volumeUid))
    .split('\n')
    .flatMap((line) => line.match(/path \.btrfs-operator\/(.*)$/)?.[1] ?? []);
}
