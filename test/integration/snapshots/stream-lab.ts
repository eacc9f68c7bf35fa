import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { startDownloadServer } from '../../builders/download-server.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { conditionOf, pathOf, type SnapshotKit, snapshotKit } from './kit.ts';
import { expectTreeToMatch } from './on-disk.ts';

const MiB = 2 ** 20;

/**
 * A lab with the volume `target`, an https server that node-a may download from (below /streams), and streams of two states of a
 * subvolume of another volume, the second one as the difference to the first.
 */
export async function startStreamLab() {
  const lab = await startLab();
  const server = await startDownloadServer();
  const caFile = path.join(lab.dir, 'ca.pem');
  writeFileSync(caFile, server.caPem);
  await lab.startAgent('node-a', {
    flags: [
      `--download-allowed-prefixes=${server.url}/streams`,
      `--download-ca-file=${caFile}`,
      '--download-allow-private-addresses=On',
      `--download-max-bytes=${64 * MiB}`,
      '--download-idle-seconds=10',
    ],
  });
  const snapshots = snapshotKit(lab);
  const importsPath = path.join(lab.rootPath('node-a'), 'imports/default');
  mkdirSync(importsPath);
  const made = await makeStreams(lab, snapshots);
  await lab.createVolume('target', { nodeName: 'node-a' });
  await lab.ready('target');

  const expectUsable = createUsableCheck(lab, snapshots);
  return {
    ...made,
    lab,
    snapshots,
    server,
    importsPath,
    putFile: (name: string, bytes: Buffer) => writeFileSync(path.join(importsPath, name), bytes),
    expectUsable,
    async expectRefused(name: string, reason: string, message: RegExp): Promise<void> {
      const refused = await snapshots.withReason(name, 'Ready', reason);
      expect(conditionOf(refused, 'Ready')).toMatchObject({
        status: 'False',
        message: expect.stringMatching(message),
      });
      expect(refused.status.path).toBeUndefined();
      expect(refused.status.uuid).toBeUndefined();
      await expectUsable('target');
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await server[Symbol.asyncDispose]();
      await lab[Symbol.asyncDispose]();
    },
  };
}

export type StreamLab = Awaited<ReturnType<typeof startStreamLab>>;

export const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** The part of a spec that names the source. */
export const ofFile = (file: string, sha256?: string) => ({
  source: { stream: { file, ...(sha256 === undefined ? {} : { sha256 }) } },
});
export const ofUrl = (url: string, bytes: Buffer) => ({ source: { stream: { url, sha256: sha256Of(bytes) } } });

async function makeStreams(lab: Lab, snapshots: SnapshotKit) {
  await lab.createVolume('origin', { nodeName: 'node-a' });
  const dataPath = dataPathOf(await lab.ready('origin'));
  writeFileSync(path.join(dataPath, 'big'), Buffer.alloc(8 * MiB, 5));
  await snapshots.create('original', 'origin');
  const original = await snapshots.ready('original');
  writeFileSync(path.join(dataPath, 'small'), 'difference');
  sh('cp', '--reflink=always', path.join(dataPath, 'big'), path.join(dataPath, 'clone'));
  await snapshots.create('original-next', 'origin');
  const originalNext = await snapshots.ready('original-next');
  const file = path.join(lab.dir, 'stream');
  sh('btrfs', 'send', '--quiet', '-f', file, pathOf(original));
  const base = readFileSync(file);
  sh('btrfs', 'send', '--quiet', '-p', pathOf(original), '-f', file, pathOf(originalNext));
  return { original, originalNext, base, increment: readFileSync(file) };
}

/** Nothing is left but whole Snapshots, and the volume takes one more. What waits is tried again meanwhile. */
function createUsableCheck(lab: Lab, snapshots: SnapshotKit) {
  let probes = 0;
  const expectMatch = async (volume: string) => {
    const all = await snapshots.client.list();
    const made = all.filter(({ spec, status }) => spec.volumeRef.name === volume && status.path !== undefined);
    expectTreeToMatch(await lab.ready(volume), made);
  };
  return async (volume: string): Promise<void> => {
    const name = `probe-${++probes}`;
    await snapshots.create(name, volume);
    await snapshots.ready(name);
    const check = () => expectMatch(volume).then(() => 'as it should be', String);
    await expect.poll(check).toBe('as it should be');
  };
}
