import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openImport, openImportFile } from '../../../src/storage/imports.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'imports-'));
const importsPath = path.join(dir, 'imports');
const layout = { importsPath };
const server = createServer();
const at = (...names: string[]) => path.join(importsPath, ...names);

beforeAll(async () => {
  for (const name of ['team', 'team/directory', 'other']) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('team/file'), 'content');
  writeFileSync(at('other/secret'), 'secret');
  writeFileSync(at('plain'), 'no directory');
  symlinkSync('../other/secret', at('team/link'));
  symlinkSync('other', at('linked'));
  symlinkSync('nothing', at('team/dangling'));
  execFileSync('mkfifo', [at('team/pipe')]);
  server.listen(at('team/socket'));
  await once(server, 'listening');
});
afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

describe('openImport', () => {
  it('openImport: gives the content and its size', async () => {
    const { stream, totalBytes, origin } = await openImport(layout, 'team', 'file');
    expect([totalBytes, origin]).toEqual([7, at('team/file')]);
    expect(String(await buffer(stream))).toBe('content');
  });

  it.each([
    ['team', 'missing', 'there is no file'],
    ['nobody', 'file', 'there is no file'],
    ['team', 'link', 'a symlink or a file'],
    ['team', 'dangling', 'a symlink or a file'],
    ['linked', 'secret', 'a symlink or a file'],
    ['plain', 'file', 'a symlink or a file'],
    ['team', 'directory', 'is no plain file'],
    ['team', 'pipe', 'is no plain file'],
    ['team', 'socket', 'is no plain file'],
  ])('openImport: does not find %s/%s', async (namespace, name, message) => {
    await expect(openImport(layout, namespace, name)).rejects.toMatchObject({
      name: 'StorageError',
      code: 'not-ready',
      reason: 'FileNotFound',
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ['team', '../other/secret'],
    ['..', 'imports'],
    ['team', '..'],
    ['team', '.'],
    ['team', ''],
    ['', 'plain'],
    ['team/../other', 'secret'],
    ['team', 'file\0'],
    ['team', '.hidden'],
  ])('openImport: takes no path for a name: %j %j', async (namespace, name) => {
    await expect(openImport(layout, namespace, name)).rejects.toThrow(TypeError);
  });

  it('openImportFile: gives the open file to who wants to copy it', async () => {
    const { file, sizeBytes } = await openImportFile(layout, 'team', 'file');
    expect([sizeBytes, await file.readFile('utf8')]).toEqual([7, 'content']);
    await file.close();
  });
});
