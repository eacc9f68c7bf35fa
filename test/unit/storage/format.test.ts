import { describe, expect, it } from 'vitest';
import { makeFilesystem } from '../../../src/host/mkfs.ts';
import { type Script, scriptedRun } from '../../fakes/scripted-run.ts';

const options = { label: '6b1f33a5-93e3-4a8b-9c54-0d8d39c6a1f0', metadataProfile: 'single' } as const;
const format = (script: Script) => {
  const { run, commands } = scriptedRun(script);
  return { commands, made: makeFilesystem(run, '/dev/loop7', options) };
};
const REFUSED = { stderrTail: 'ERROR: unrecognized runtime feature: free-space-tree' };

describe('makeFilesystem', () => {
  it('C20 makeFilesystem: an option that an older mkfs refuses is left out at the second try', async () => {
    const { commands, made } = format([
      [/--runtime-features free-space-tree/, REFUSED],
      [/^mkfs\.btrfs .*\/dev\/loop7$/, ''],
    ]);
    await made;
    expect(commands).toHaveLength(2);
    expect(commands[1]).not.toContain('free-space-tree');
    expect(commands[1]).toContain(options.label);
  });

  it('C20 makeFilesystem: when both tries fail the first error is kept', async () => {
    const { commands, made } = format([
      [/free-space-tree/, REFUSED],
      [/^mkfs/, { stderrTail: 'ERROR: cannot open /dev/loop7' }],
    ]);
    await expect(made).rejects.toThrow(/unrecognized runtime feature/);
    expect(commands).toHaveLength(2);
  });

  it('C20 makeFilesystem: one that succeeds at once is not repeated', async () => {
    const { commands, made } = format([[/^mkfs/, '']]);
    await made;
    expect(commands).toHaveLength(1);
  });

  it.each([
    ['hung', { timedOut: true, stillRunning: true }],
    ['was aborted', { aborted: true }],
  ])('C20 makeFilesystem: a mkfs that %s is not started a second time beside the first', async (_, failure) => {
    const { commands, made } = format([[/^mkfs/, failure]]);
    await expect(made).rejects.toThrow(/mkfs\.btrfs/);
    expect(commands).toHaveLength(1);
  });
});
