import { execFile } from 'node:child_process';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { rawCreate, rawRemove } from './raw.ts';
import { compare, heading, names } from './table.ts';
import { Times } from './times.ts';
import type { Users } from './user.ts';

const exec = promisify(execFile);
const FILES = 50_000;
const FILES_PER_DIRECTORY = 500;
const ROUNDS = 10;
const MANY = 20;

/** What a job waits for its cache: a claim beside a snapshot by hand, a reflinked copy, and an archive of the same tree. */
export async function benchCaches({ volumes, caches, claims }: Users, rawDir: string): Promise<void> {
  heading(`BuildCache of ${FILES} files`);
  const raw = await rawCreate(rawDir, 'cache', '4G');
  const rawBase = path.join(raw.mountPath, 'base');
  await exec('btrfs', ['subvolume', 'create', rawBase]);
  await writeTree(rawBase);
  await volumes.create('caches', { size: '4Gi', nodeName: 'node-a' });
  await caches.create('cache', { volumeRef: { name: 'caches' } });
  const first = await claims.create('first', { cacheRef: { name: 'cache' } });
  await writeTree(first?.status.path ?? '');
  await claims.change('first', { release: 'Publish' }, 'Released');

  const claim = (name: string) => claims.create(name, { cacheRef: { name: 'cache' } });
  const snapshot = (name: string) => exec('btrfs', ['subvolume', 'snapshot', rawBase, path.join(raw.mountPath, name)]);
  const times = { raw: new Times(), ours: new Times() };
  for (const name of names('one', ROUNDS)) {
    await times.raw.of('one', () => snapshot(name));
    await times.ours.of('one', () => claim(name));
  }
  compare(`claim to Ready, median of ${ROUNDS} (raw: snapshot)`, times.raw.median('one'), times.ours.median('one'));
  await times.raw.of('reflink', () =>
    exec('cp', ['--archive', '--reflink=always', rawBase, path.join(raw.mountPath, 'copy')]),
  );
  compare('the same beside cp --reflink', times.raw.median('reflink'), times.ours.median('one'));
  const archive = path.join(rawDir, 'cache.tar');
  await exec('tar', ['--create', '--file', archive, '--directory', rawBase, '.']);
  await mkdir(path.join(raw.mountPath, 'unpacked'));
  await times.raw.of('tar', () =>
    exec('tar', ['--extract', '--file', archive, '--directory', path.join(raw.mountPath, 'unpacked')]),
  );
  compare('the same beside unpacking a tar', times.raw.median('tar'), times.ours.median('one'));

  const all = names('many', MANY);
  await times.raw.of('many', async () => {
    for (const name of all) await snapshot(name);
  });
  await times.ours.of('many', () => Promise.all(all.map(claim)));
  compare(`${MANY} claims at once (raw: snapshots in a row)`, times.raw.median('many'), times.ours.median('many'));

  for (const name of names('publish', ROUNDS)) {
    const made = await claim(name);
    await writeFile(path.join(made?.status.path ?? '', 'changed'), name);
    await appendFile(path.join(raw.mountPath, 'one-0', 'changed'), name);
    await times.raw.of('publish', async () => {
      await exec('btrfs', ['filesystem', 'sync', raw.mountPath]);
      await exec('btrfs', [
        'subvolume',
        'snapshot',
        '-r',
        path.join(raw.mountPath, 'one-0'),
        path.join(raw.mountPath, name),
      ]);
    });
    await times.ours.of('publish', () => claims.change(name, { release: 'Publish' }, 'Released'));
  }
  compare(
    `publish, median of ${ROUNDS} (raw: sync, snapshot)`,
    times.raw.median('publish'),
    times.ours.median('publish'),
  );
  await rawRemove(raw);
}

async function writeTree(dir: string): Promise<void> {
  for (let number = 0; number < FILES; number += FILES_PER_DIRECTORY) {
    const parent = path.join(dir, `directory-${number}`);
    await mkdir(parent);
    await Promise.all(
      Array.from({ length: FILES_PER_DIRECTORY }, (_, index) =>
        writeFile(path.join(parent, `file-${index}`), `${number} ${index}`),
      ),
    );
  }
}
