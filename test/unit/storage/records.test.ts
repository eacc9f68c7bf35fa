import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Layout, layoutOf } from '../../../src/storage/layout.ts';
import { ensurePrivateDirectory, isErrno, loadRecord, removeRecord, saveRecord } from '../../../src/storage/records.ts';
import { recordOf, UID } from '../../builders/observations.ts';

let layout: Layout;

beforeEach(async () => {
  layout = layoutOf(mkdtempSync(path.join(tmpdir(), 'records-')));
  await ensurePrivateDirectory(layout.recordsPath);
});
afterEach(() => rmSync(layout.rootPath, { recursive: true }));

const full = recordOf({
  resize: { fromBytes: 4096, toBytes: 8192 },
  minimized: { request: 'r', generation: 2, sizeBytes: 4096 },
});

describe('records', () => {
  it.each([
    ['of a finished volume', recordOf()],
    ['with everything in it', full],
    ['that was just made', recordOf({ initialized: false, tree: undefined })],
  ])('C5 a record %s comes back as it was saved', async (_, record) => {
    await saveRecord(layout, record);
    expect(await loadRecord(layout, UID)).toEqual(JSON.parse(JSON.stringify(record)));
  });

  it('C6 is saved whole: no temporary file is left, and only root may read it', async () => {
    await saveRecord(layout, full);
    await saveRecord(layout, recordOf());
    expect(readdirSync(layout.recordsPath)).toEqual([`${UID}.json`]);
    expect(statSync(layout.recordPath(UID)).mode & 0o777).toBe(0o600);
    expect(readFileSync(layout.recordPath(UID), 'utf8')).not.toContain('minimized');
  });

  it('C6 a save that fails leaves the record that was there', async () => {
    await saveRecord(layout, recordOf());
    mkdirSync(`${layout.recordPath(UID)}.tmp`);
    await expect(saveRecord(layout, full)).rejects.toThrow(/EISDIR/);
    expect(await loadRecord(layout, UID)).toEqual(recordOf());
  });

  it('undefined is the answer only where there is no record', async () => {
    expect(await loadRecord(layout, UID)).toBeUndefined();
    rmSync(layout.recordsPath, { recursive: true });
    expect(await loadRecord(layout, UID)).toBeUndefined();
    writeFileSync(layout.recordsPath, 'no directory');
    await expect(loadRecord(layout, UID)).rejects.toThrow(/ENOTDIR/);
  });

  const ok = JSON.stringify(recordOf());
  it.each([
    ['is empty', ''],
    ['was torn', ok.slice(0, 100)],
    ['is no record', '{}'],
    ['is null', 'null'],
    ['is of a newer version', ok.replace('"schemaVersion":1', '"schemaVersion":2')],
    ['is of another kind', ok.replace('LoopbackVolume', 'Snapshot')],
    ['is that of another volume', ok.replaceAll(UID, UID.replace('3', '4'))],
    ['has a size that is text', ok.replace(/"sizeBytes":\d+/, '"sizeBytes":"1"')],
  ])('C7 a record that %s is reported and left as it is', async (_, text) => {
    writeFileSync(layout.recordPath(UID), text);
    const error = await loadRecord(layout, UID).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'StorageError', code: 'damaged', reason: 'RecordDamaged' });
    expect((error as Error).message).toMatch(/^[^\n]*records[^\n]*$/);
    expect(readFileSync(layout.recordPath(UID), 'utf8')).toBe(text);
  });

  it('removing is safe to repeat', async () => {
    await saveRecord(layout, full);
    await removeRecord(layout, UID);
    await removeRecord(layout, UID);
    expect(readdirSync(layout.recordsPath)).toEqual([]);
  });

  it('C1 a directory is for root alone, also one that was there', async () => {
    chmodSync(layout.recordsPath, 0o755);
    await ensurePrivateDirectory(layout.recordsPath);
    expect(statSync(layout.recordsPath).mode & 0o777).toBe(0o700);
  });
});

describe('isErrno', () => {
  const enoent = Object.assign(new Error('x'), { code: 'ENOENT' });
  it.each([
    ['one of the codes', enoent, ['EIO', 'ENOENT'], true],
    ['another code', enoent, ['EIO'], false],
    ['an error without a code', new Error('ENOENT'), ['ENOENT'], false],
    ['no error', { code: 'ENOENT' }, ['ENOENT'], false],
  ])('%s', (_, error, codes, expected) => expect(isErrno(error, ...codes)).toBe(expected));
});
