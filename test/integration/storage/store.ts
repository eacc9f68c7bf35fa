import { randomUUID } from 'node:crypto';
import { mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Command } from '../../../src/host/command.ts';
import { createStorage, type StorageOptions } from '../../../src/storage/context.ts';
import { loadRecord, type VolumeRecord } from '../../../src/storage/records.ts';
import { openRoot } from '../../../src/storage/root.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { createImage } from '../../../src/storage/volumes/create.ts';
import type { VolumeSettings } from '../../../src/storage/volumes/format.ts';
import { removeLeftovers } from '../../cluster/host-leftovers.ts';

export const MiB = 1024 * 1024;

/** What a volume without wishes is mounted with. */
export const SETTINGS: VolumeSettings = {
  label: '',
  owner: { uid: 0, gid: 0, mode: '0755' },
  metadataProfile: 'single',
  compression: 'zstd:3',
  discard: 'Async',
  durability: 'Full',
  content: 'Empty',
};

const COMMAND_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Storage on a root directory, as an agent has it, before the root is opened. */
export function storageAt(rootPath: string, options: Partial<StorageOptions> = {}) {
  return createStorage({
    rootPath,
    commandPath: COMMAND_PATH,
    sectorSize: 4096,
    directIO: true,
    ...options,
  });
}

export function storageIn(dir: string, options: Partial<StorageOptions> = {}) {
  return storageAt(path.join(dir, 'root'), options);
}

/** The PATH of commands with a directory of shims first. */
export function commandPathWith(shimsPath: string): string {
  return `${shimsPath}:${COMMAND_PATH}`;
}

/** A directory for one test; all that belongs to it is gone from the machine when it is disposed of. */
export function scratchDir() {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'store-')));
  return { dir, [Symbol.asyncDispose]: () => removeLeftovers(dir, 'all') };
}

/** An open root directory without an API server: the verbs of storage on real btrfs. */
export async function openStore(options: Partial<StorageOptions> = {}) {
  const scratch = scratchDir();
  const commands: Command[] = [];
  const storage = storageIn(scratch.dir, {
    ...options,
    onCommand: (command, outcome) => {
      commands.push(command);
      options.onCommand?.(command, outcome);
    },
  });
  let root = await openRoot(storage);
  return {
    dir: scratch.dir,
    storage,
    layout: storage.layout,
    /** Everything that was run, in order. */
    commands,

    /** An image with its record, not formatted yet; returns its uid. */
    async made(sizeBytes = 256 * MiB): Promise<string> {
      const uid = randomUUID();
      await createImage(storage, { uid, namespace: 'default', name: 'vol' }, sizeBytes);
      return uid;
    },
    /** A volume that is mounted; returns its uid. */
    async mounted(sizeBytes?: number): Promise<string> {
      const uid = await this.made(sizeBytes);
      await bringUp(storage, uid, SETTINGS);
      return uid;
    },
    /** The record, which has to be there. */
    async record(uid: string): Promise<VolumeRecord> {
      const record = await loadRecord(storage.layout, uid);
      if (record === undefined) throw new Error(`no record of ${uid}`);
      return record;
    },
    /** The root is released and opened again, as when an agent is replaced. */
    async reopened(): Promise<void> {
      await root.release();
      root = await openRoot(storage);
    },

    async [Symbol.asyncDispose](): Promise<void> {
      await root.release();
      await scratch[Symbol.asyncDispose]();
    },
  };
}

export type Store = Awaited<ReturnType<typeof openStore>>;
