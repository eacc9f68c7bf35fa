import { mkdtempSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { layoutOf } from '../../../src/storage/layout.ts';
import { recordOf, UID } from '../../builders/observations.ts';

/** What was asked of the node's filesystem, in order: `kill -9` keeps the page cache, so only the order of calls shows what a power cut leaves. */
const calls: string[] = [];
let records: typeof import('../../../src/storage/records.ts');

async function notingCalls() {
  const fs = await vi.importActual<typeof import('node:fs/promises')>('node:fs/promises');
  const named = (file: unknown) => path.basename(String(file));
  const noting =
    <A extends unknown[], R>(name: string, work: (...args: A) => Promise<R>) =>
    async (...args: A) => {
      const result = await work(...args);
      calls.push(
        `${name} ${args
          .slice(0, name === 'rename' ? 2 : 1)
          .map(named)
          .join(' ')}`,
      );
      return result;
    };
  const open = async (...args: Parameters<typeof fs.open>): Promise<FileHandle> => {
    const handle = await fs.open(...args);
    const [write, sync] = [handle.writeFile.bind(handle), handle.sync.bind(handle)];
    handle.writeFile = (async (data) => {
      await write(data);
      calls.push(`write ${named(args[0])}`);
    }) as FileHandle['writeFile'];
    handle.sync = async () => {
      await sync();
      calls.push(`sync ${named(args[0])}`);
    };
    return handle;
  };
  return { ...fs, open, rename: noting('rename', fs.rename), rm: noting('rm', fs.rm) };
}

// Files share their modules: those of others have the real one already.
beforeAll(async () => {
  vi.resetModules();
  vi.doMock('node:fs/promises', notingCalls);
  records = await import('../../../src/storage/records.ts');
});

afterAll(() => {
  vi.doUnmock('node:fs/promises');
  vi.resetModules();
});

it('C6 saveRecord: the file is on disk before it gets its name, and the name before the save is done', async () => {
  const layout = layoutOf(mkdtempSync(path.join(tmpdir(), 'save-order-')));
  try {
    await records.ensurePrivateDirectory(layout.recordsPath);
    await records.saveRecord(layout, recordOf());
    const [temporary, name] = [`${UID}.json.tmp`, `${UID}.json`];
    expect(calls.splice(0)).toEqual([
      `write ${temporary}`,
      `sync ${temporary}`,
      `rename ${temporary} ${name}`,
      'sync records',
    ]);
    await records.removeRecord(layout, UID);
    expect(calls).toEqual([`rm ${name}`, 'sync records']);
  } finally {
    rmSync(layout.rootPath, { recursive: true });
  }
});
