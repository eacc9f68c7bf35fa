import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import type { Lab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { conditionOf, type SnapshotKit } from './kit.ts';
import { startSnapshotLab } from './snapshot-lab.ts';

let lab: Lab;
let snapshots: SnapshotKit;
let dataPath: string;
let agent: OperatorProcess;

beforeAll(async () => {
  ({ lab, agent, snapshots, dataPath } = await startSnapshotLab());
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const exported = (name: string) => snapshots.withReason(name, 'Exported', 'Exported');

describe('Snapshot: exports', () => {
  it('Snapshot: writes full and incremental streams that btrfs receive takes, with their sha256 and size', async () => {
    writeFileSync(path.join(dataPath, 'one'), Buffer.alloc(2 ** 20, 1));
    await snapshots.create('base', 'demo', { exports: [{ name: 'full' }] });
    const base = await exported('base');
    writeFileSync(path.join(dataPath, 'two'), 'two');
    await snapshots.create('next', 'demo', { exports: [{ name: 'incr', parentRef: { name: 'base' } }] });
    const next = await exported('next');
    const [full, incr] = [base.status.exports?.[0], next.status.exports?.[0]];
    for (const stream of [full, incr]) {
      const content = readFileSync(stream?.file ?? '');
      expect(stream).toMatchObject({
        bytes: content.length,
        sha256: createHash('sha256').update(content).digest('hex'),
      });
    }
    expect([full?.parentUUID, incr?.parentUUID]).toEqual([undefined, base.status.uuid]);
    expect(incr?.bytes).toBeLessThan(10_000);
    const dump = sh('btrfs', 'receive', '--dump', '-f', incr?.file ?? '');
    expect(dump).toContain('two');
    expect(dump).not.toContain('one');
  });

  it('Snapshot: a stream that is taken out of spec loses its file, one that is there is not written again', async () => {
    await snapshots.create('changing', 'demo', { exports: [{ name: 'a' }, { name: 'b' }] });
    const before = await exported('changing');
    const [a, b] = before.status.exports ?? [];
    writeFileSync(b?.file ?? '', Buffer.alloc(b?.bytes ?? 0, 9));
    await snapshots.change('changing', { exports: [{ name: 'b' }] });
    const after = await snapshots.that('changing', ({ status }) => status.exports?.length === 1);
    expect(after.status.exports).toEqual([b]);
    expect(existsSync(a?.file ?? '')).toBe(false);
    expect(readFileSync(b?.file ?? '').every((byte) => byte === 9)).toBe(true);
    await snapshots.remove('changing');
    expect(existsSync(path.dirname(b?.file ?? ''))).toBe(false);
  });

  it('Snapshot: a writable one is exported once it is committed; a missing parent is said and waited for', async () => {
    await snapshots.create('later', 'demo', {
      source: { empty: {} },
      access: 'ReadWrite',
      exports: [{ name: 'all' }, { name: 'difference', parentRef: { name: 'not-there' } }],
    });
    const waiting = await snapshots.withReason('later', 'Exported', 'SourceNotCommitted');
    expect(conditionOf(waiting, 'Ready')?.status).toBe('True');
    await snapshots.change('later', { access: 'ReadOnly' });
    const missing = await snapshots.withReason('later', 'Exported', 'SourceNotFound');
    expect(conditionOf(missing, 'Exported')?.message).toContain('not-there');
    expect(missing.status.exports?.map(({ name }) => name)).toEqual(['all']);
    expect(readdirSync(path.dirname(missing.status.exports?.[0]?.file ?? ''))).toEqual(['all.btrfs']);
  });

  it('F16 Snapshot: exports go by what is on disk: one that left spec, one that was broken off, and those of a deleted Snapshot, though status names none', async () => {
    const exportsPath = path.join(lab.rootPath('node-a'), 'exports');
    const files = async (name: string, exports: readonly { name: string }[]) => {
      await snapshots.create(name, 'demo', { exports });
      return path.dirname((await exported(name)).status.exports?.[0]?.file ?? '');
    };
    const [gone, changed] = [await files('gone', [{ name: 'a' }]), await files('changed', [{ name: 'a' }])];
    agent.kill('SIGKILL');
    await agent.exited;
    for (const name of ['gone', 'changed']) {
      await snapshots.change(name, { exports: null });
      await lab.kubectl([
        'patch',
        `bsnap/${name}`,
        '--subresource=status',
        '--type=merge',
        '--patch={"status":{"exports":null}}',
      ]);
    }
    writeFileSync(path.join(changed, 'b.btrfs.new'), 'half');
    // As if it had been exported before its namespace was made anew.
    const elsewhere = path.join(exportsPath, randomUUID(), path.basename(gone));
    mkdirSync(elsewhere, { recursive: true });
    writeFileSync(path.join(elsewhere, 'a.btrfs'), 'of before');
    await lab.kubectl(['delete', 'bsnap/gone', '--wait=false']);
    agent = await lab.startAgent('node-a');
    const isThere = () => [gone, changed, path.dirname(elsewhere)].filter((each) => existsSync(each));
    await waitFor(() => isThere().length === 0, { what: 'end of what nobody asks for' });
  });
});
