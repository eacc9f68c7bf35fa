import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { readSuperblock } from '../../../src/host/superblock.ts';
import { bringDown } from '../../../src/storage/volumes/bring-down.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { exportImage } from '../../../src/storage/volumes/export.ts';
import { importImage } from '../../../src/storage/volumes/import-image.ts';
import { observeVolume } from '../../../src/storage/volumes/observe.ts';
import { loopsOf, sh } from '../recovery/host-view.ts';
import { commandPathWith, MiB, openStore, SETTINGS, scratchDir } from './store.ts';

const TOOLS = [
  'losetup',
  'mkfs.btrfs',
  'btrfs',
  'btrfstune',
  'mount',
  'umount',
  'blkid',
  'od',
  'dd',
  'cp',
  'sync',
  'truncate',
];

/** A directory of tools that note which files they open. */
function tracedTools(dir: string): { readonly commandPath: string; readonly opened: () => string[] } {
  const [toolsPath, logPath] = [path.join(dir, 'tools'), path.join(dir, 'opened')];
  mkdirSync(toolsPath);
  for (const tool of TOOLS) {
    const traced = `strace -f -qq -A -o ${logPath} -e trace=open,openat -- "$tool" "$@"`;
    const script = `#!/bin/bash\nPATH=\${PATH#${toolsPath}:}\ntool=\${0##*/}\nexec ${traced}\n`;
    writeFileSync(path.join(toolsPath, tool), script, { mode: 0o755 });
  }
  const devices = () => readFileSync(logPath, 'utf8').matchAll(/"(\/dev\/(?:loop\d|[hsv]d|nvme|dm-|mapper)[^"]*)"/g);
  return { commandPath: commandPathWith(toolsPath), opened: () => [...devices()].map(([, name = '']) => name) };
}

it('F46 storage: making, exporting, importing and mounting a volume opens its own device and no other', async () => {
  await using scratch = scratchDir();
  const tools = tracedTools(scratch.dir);
  await using store = await openStore({ commandPath: tools.commandPath });
  const { storage, layout } = store;
  // Somebody else's device, which may answer nobody.
  const other = path.join(scratch.dir, 'other.img');
  writeFileSync(other, '');
  sh('truncate', '--size=128M', other);
  const otherPath = sh('losetup', '--find', '--show', other);
  const uid = await store.made();
  const settings = { ...SETTINGS, label: 'of the user' };
  await bringUp(storage, uid, settings);
  const { record, tree } = await observeVolume(storage, uid);
  expect([record?.filesystemUUID, tree?.label]).toEqual([uuidAt(layout.volumePath(uid)), settings.label]);
  expect(tools.opened()).toEqual(expect.arrayContaining(loopsOf(layout.imagePath(uid))));
  await bringDown(storage, uid);
  const signal = AbortSignal.timeout(60_000);
  await exportImage(storage, uid, { namespaceUid: uid, file: 'copy.img' }, { signal, onProgress: () => undefined });
  const exported = path.join(layout.exportPath(uid, uid), 'copy.img');
  const done = (await store.record(uid)).export?.done;
  expect((await readSuperblock(exported))?.filesystemUUID).toBe(done?.filesystemUUID);

  const copy = await store.made();
  const options = { settings, sizeBytes: 256 * MiB, signal, onBytes: () => undefined };
  await importImage(storage, copy, { path: exported, sha256: done?.sha256 }, options);
  await Promise.all([uid, copy].map((each) => bringUp(storage, each, settings)));
  const uuids = [uid, copy].map((each) => uuidAt(layout.volumePath(each)));
  expect(new Set([...uuids, done?.filesystemUUID]).size).toBe(3);
  expect(uuids).toEqual([(await store.record(uid)).filesystemUUID, (await store.record(copy)).filesystemUUID]);
  expect(tools.opened().filter((name) => name === otherPath || !name.startsWith('/dev/loop'))).toEqual([]);
  await Promise.all([uid, copy].map((each) => bringDown(storage, each)));
});

function uuidAt(mountPath: string): string {
  return sh('findmnt', '--noheadings', '--output=UUID', mountPath);
}
