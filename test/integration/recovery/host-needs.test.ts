import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findCondition } from '../../../src/api/conditions.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { conditionOf, pathOf, snapshotKit } from '../snapshots/kit.ts';
import { sh } from './host-view.ts';

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const kernelOf = async (node: string) =>
  findCondition((await lab.btrfsNodes.get(node))?.status.conditions, 'KernelSupported');

describe('BtrfsNode: the kernel', () => {
  it('B3 BtrfsNode: on an older kernel the agent says KernelSupported=False, and nothing is placed there until it is newer', async () => {
    // setarch(8) gives a process the version of a kernel that never was newer.
    const old = await lab.startAgent('node-old', { wrapper: ['setarch', '--uname-2.6'] });
    const told = await waitFor(async () => (await kernelOf('node-old'))?.status === 'False' && kernelOf('node-old'), {
      what: 'KernelSupported=False',
    });
    expect(told).toMatchObject({
      reason: 'KernelTooOld',
      message: expect.stringMatching(/^kernel 2\.6\.\S+ is older than 5\.10; update it$/),
    });
    await lab.createVolume('vol', { nodeName: 'node-old' });
    const refused = await lab.withReason('vol', 'Scheduled', 'NoNodeFits');
    expect(findCondition(refused.status.conditions, 'Scheduled')?.message).toBe(
      "1Gi can't go to spec.nodeName: node-old has an unsupported kernel",
    );
    await old.end();
    const current = await lab.startAgent('node-old');
    await lab.ready('vol', 30_000);
    expect((await kernelOf('node-old'))?.status).toBe('True');
    await lab.remove('vol');
    await current.end();
  });
});

/** As docs/operations.md lists them, in the form of setpriv(1). */
function documentedCapabilities(): string[] {
  const text = readFileSync(path.resolve(import.meta.dirname, '../../../docs/operations.md'), 'utf8');
  return [...text.matchAll(/^\| `CAP_([A-Z_]+)` \|/gm)].map(([, name = '']) => name.toLowerCase());
}

describe('agent: what it needs root for', () => {
  it('B4 agent: with the capabilities that docs/operations.md lists and no others it does all its work', async () => {
    const capabilities = documentedCapabilities();
    expect(capabilities).toContain('sys_admin');
    const bounding = ['-all', ...capabilities.map((name) => `+${name}`)].join(',');
    const wrapper = ['setpriv', `--bounding-set=${bounding}`, '--inh-caps=-all', '--'];
    const agent = await lab.startAgent('node-a', { wrapper });
    const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
    for (const set of ['CapEff', 'CapBnd']) {
      const bits = BigInt(`0x${status.match(new RegExp(`^${set}:\\s*(\\w+)$`, 'm'))?.[1]}`);
      expect(bits.toString(2).replaceAll('0', '')).toHaveLength(capabilities.length);
    }
    const snapshots = snapshotKit(lab);
    const onNode = { nodeName: 'node-a' };

    await lab.createVolume('vol', { ...onNode, owner: { uid: 1000, gid: 1000, mode: '0700' }, label: 'a' });
    const dataPath = dataPathOf(await lab.ready('vol'));
    fillAsTenant(dataPath);
    await snapshots.create('base', 'vol');
    await snapshots.ready('base');
    const owner = { uid: 2000, gid: 2000, mode: '0750' };
    await snapshots.create('child', 'vol', { source: { snapshotRef: { name: 'base' } }, access: 'ReadWrite', owner });
    await snapshots.ready('child');
    await snapshots.change('child', { access: 'ReadOnly' });
    await snapshots.that('child', (seen) => conditionOf(seen, 'Committed')?.status === 'True');

    await lab.createVolume('copy', { ...onNode, source: { snapshotRef: { name: 'base' } } });
    const copyPath = dataPathOf(await lab.ready('copy'));
    const facts = (dirPath: string) =>
      sh('find', dirPath, '-mindepth', '1', '-printf', '%P %M %U %G %s\n').split('\n').toSorted();
    expect(facts(copyPath)).toEqual(facts(dataPath));
    const xattr = ['--name=security.capability', '--encoding=hex', path.join(copyPath, 'private/tool')];
    expect(sh('getfattr', '--absolute-names', ...xattr)).toContain(NET_RAW);

    await snapshots.create('plain', 'vol', { source: { empty: {} }, access: 'ReadWrite', owner });
    writeFileSync(path.join(pathOf(await snapshots.ready('plain')), 'file'), 'plain');
    await snapshots.change('plain', { access: 'ReadOnly', exports: [{ name: 'full' }] });
    const plain = await snapshots.that('plain', (seen) => conditionOf(seen, 'Exported')?.status === 'True');
    const importsPath = path.join(lab.rootPath('node-a'), 'imports/default');
    mkdirSync(importsPath, { recursive: true });
    copyFileSync(plain.status.exports?.[0]?.file ?? '', path.join(importsPath, 'full.btrfs'));
    await snapshots.create('imported', 'vol', { source: { stream: { file: 'full.btrfs' } } });
    const imported = await snapshots.ready('imported');
    expect(facts(pathOf(imported))).toEqual(facts(pathOf(plain)));

    await lab.change('vol', { size: '1500Mi', label: 'b' });
    await lab.ready('vol');
    await lab.change('vol', { minimize: {} });
    await lab.ready('vol', 60_000);
    await lab.change('vol', { mounted: false });
    await lab.ready('vol');
    await lab.change('vol', { mounted: true });
    await lab.ready('vol');

    await lab.remove('copy');
    for (const name of ['imported', 'plain', 'child', 'base']) await snapshots.remove(name);
    await lab.remove('vol');
  });
});

/** The xattr of a file with cap_net_raw+ep (struct vfs_cap_data of linux/capability.h, revision 2). */
const NET_RAW = '0x0100000200200000000000000000000000000000';

/** Files of others, that only they may read, with what send streams carry. */
function fillAsTenant(dataPath: string): void {
  const dirPath = path.join(dataPath, 'private');
  mkdirSync(dirPath);
  for (const name of ['file', 'tool']) writeFileSync(path.join(dirPath, name), name.repeat(10_000));
  sh('ln', '-s', 'file', path.join(dirPath, 'link'));
  sh('mkfifo', path.join(dirPath, 'pipe'));
  for (const name of ['file', 'tool', '']) {
    chownSync(path.join(dirPath, name), 1000, 1000);
    chmodSync(path.join(dirPath, name), name === '' ? 0o500 : 0o400);
  }
  sh('setfattr', '--name=security.capability', `--value=${NET_RAW}`, path.join(dirPath, 'tool'));
}
