import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createOpenContent, type OutsideContentOptions } from '../../../src/agent/outside-content.ts';
import { parsePrefix } from '../../../src/net/download-url.ts';
import { layoutOf } from '../../../src/storage/layout.ts';
import { content, type DownloadServer, startDownloadServer } from '../../builders/download-server.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'content-'));
const caFile = path.join(dir, 'ca.pem');
const never = new AbortController().signal;
const sha256Of = (body: string) => createHash('sha256').update(body).digest('hex');
let server: DownloadServer;
let nowMs = 0;

beforeAll(async () => {
  server = await startDownloadServer();
  writeFileSync(caFile, server.caPem);
  mkdirSync(path.join(dir, 'imports/team'), { recursive: true });
  writeFileSync(path.join(dir, 'imports/team/file'), 'of a file');
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});
beforeEach(() => {
  server.answers.clear();
  server.requests.length = 0;
});

const opener = (changes: Partial<OutsideContentOptions['config']> = {}) =>
  createOpenContent({
    storage: { layout: layoutOf(dir) },
    clock: { monotonicMs: () => nowMs },
    config: {
      downloadAllowedPrefixes: [parsePrefix(server.url)],
      downloadMaxBytes: 1000,
      downloadIdleSeconds: 1,
      downloadCaFile: caFile,
      downloadAllowPrivateAddresses: 'On',
      ...changes,
    },
  });

describe('OpenContent', () => {
  it('OpenContent: reads a file, with its sha256 and without', async () => {
    const open = opener();
    expect(await text((await open('team', { file: 'file' }, never)).stream)).toBe('of a file');
    const checked = await open('team', { file: 'file', sha256: sha256Of('of a file') }, never);
    expect(await text(checked.stream)).toBe('of a file');
    const wrong = await open('team', { file: 'file', sha256: sha256Of('x') }, never);
    await expect(text(wrong.stream)).rejects.toMatchObject({ code: 'damaged', reason: 'ChecksumMismatch' });
    await expect(open('team', { file: 'missing' }, never)).rejects.toMatchObject({ reason: 'FileNotFound' });
  });

  it('OpenContent: downloads, trusting the authorities of the file', async () => {
    server.answers.set('/a', content('of a url'));
    const wanted = { url: `${server.url}/a`, sha256: sha256Of('of a url') };
    expect(await text((await opener()('team', wanted, never)).stream)).toBe('of a url');
    await expect(opener({ downloadCaFile: undefined })('team', wanted, never)).rejects.toMatchObject({
      code: 'failed',
      reason: 'DownloadFailed',
      message: expect.stringContaining('not trusted'),
    });
    await expect(opener({ downloadCaFile: `${caFile}.missing` })('team', wanted, never)).rejects.toMatchObject({
      reason: 'DownloadFailed',
      message: expect.stringContaining('--download-ca-file'),
    });
  });

  it('OpenContent: tells what is refused from what fails, before and after the first byte', async () => {
    const sha256 = sha256Of('x');
    const url = `${server.url}/a`;
    const refused = { code: 'refused', reason: 'DownloadRefused' };
    const failed = { code: 'failed', reason: 'DownloadFailed' };
    const here = opener({ downloadAllowPrivateAddresses: 'Off' });
    await expect(here('team', { url, sha256 }, never)).rejects.toMatchObject(refused);
    const none = opener({ downloadAllowedPrefixes: [] });
    await expect(none('team', { url, sha256 }, never)).rejects.toMatchObject(refused);
    await expect(opener()('team', { url, sha256 }, never)).rejects.toMatchObject(failed);

    server.answers.set('/a', (_request, response) => void response.write('half', () => response.destroy()));
    await expect(text((await opener()('team', { url, sha256 }, never)).stream)).rejects.toMatchObject(failed);
    server.answers.set('/a', (_request, response) => void response.write('x'.repeat(1001)));
    await expect(text((await opener()('team', { url, sha256 }, never)).stream)).rejects.toMatchObject(refused);
  });

  it('OpenContent: does not download again what had the wrong sha256, for a while', async () => {
    const open = opener();
    server.answers.set('/a', content('wrong'));
    const wanted = { url: `${server.url}/a`, sha256: sha256Of('right') };
    const mismatch = { code: 'damaged', reason: 'ChecksumMismatch' };
    await expect(text((await open('team', wanted, never)).stream)).rejects.toMatchObject(mismatch);
    await expect(open('team', wanted, never)).rejects.toMatchObject(mismatch);
    expect(server.requests).toHaveLength(1);
    server.answers.set('/a', content('right'));
    nowMs += 16 * 60_000;
    expect(await text((await open('team', wanted, never)).stream)).toBe('right');
  });

  it('OpenContent: lets go of the connection with its reader', async () => {
    let closed: (() => void) | undefined;
    const gone = new Promise<void>((resolve) => {
      closed = resolve;
    });
    server.answers.set('/a', (_request, response) => {
      response.once('close', () => closed?.());
      response.write('half');
    });
    const { stream } = await opener()('team', { url: `${server.url}/a`, sha256: sha256Of('x') }, never);
    stream.destroy();
    await gone;
  });
});
