import { describe, expect, it, vi } from 'vitest';
import { createSaid } from '../../../src/agent/said.ts';
import { createStatusWriter } from '../../../src/agent/status-writer.ts';
import type { LoopbackVolume, LoopbackVolumeStatus } from '../../../src/api/loopback-volume.ts';
import type { ApplyOptions, Draft } from '../../../src/kube/resource-client.ts';
import { clientWith } from '../../builders/clients.ts';
import { condition, nodeLost, volumeOf } from '../../builders/objects.ts';

/** A server that answers with the object as it is after the write, one version on each time. */
function startWriter(renewal = { isRenewed: true }) {
  let version = 100;
  const applyStatus = vi.fn(async (draft: Draft & { status?: LoopbackVolumeStatus }, _: ApplyOptions) =>
    volumeOf({
      metadata: { uid: draft.metadata.uid ?? '', resourceVersion: String(++version) },
      status: draft.status ?? {},
    }),
  );
  const patch = vi.fn(async (..._: unknown[]) =>
    volumeOf({ metadata: { resourceVersion: '2000' }, status: { nodeName: 'node-a', ...status } }),
  );
  const client = clientWith<LoopbackVolume>({ applyStatus: applyStatus as never, patch: patch as never });
  return {
    applyStatus,
    patch,
    writer: createStatusWriter({ client, fieldManager: 'agent', renewal, said: createSaid<LoopbackVolume>() }),
  };
}

const cached = volumeOf({ metadata: { resourceVersion: '99' }, status: { nodeName: 'node-a', observedGeneration: 1 } });
const status = { observedGeneration: 1, sizeBytes: 4096 };

describe('createStatusWriter', () => {
  it('writes what differs, under its manager, to the object of this uid only', async () => {
    const { applyStatus, writer } = startWriter();
    await writer.write(cached, status);
    expect(applyStatus.mock.calls).toEqual([
      [{ metadata: { namespace: 'ns', name: 'vol', uid: 'uid-1' }, status }, { fieldManager: 'agent' }],
    ]);
  });

  it.each([
    ['the object has it already', { observedGeneration: 1 }],
    ['undefined stands for absent', { observedGeneration: 1, sizeBytes: undefined }],
  ])('sends nothing when %s', async (_, same) => {
    const { applyStatus, writer } = startWriter();
    await writer.write(cached, same);
    expect(applyStatus).not.toHaveBeenCalled();
  });

  it('F23 actedOn: the newest status, of the spec and generation that the pass acts on', async () => {
    const { applyStatus, writer } = startWriter();
    applyStatus.mockImplementation(async (draft) =>
      volumeOf({
        metadata: { resourceVersion: '101', generation: 2 },
        spec: { label: 'new' },
        status: draft.status ?? {},
      }),
    );
    await writer.write(cached, status);
    const { metadata, spec, status: newest } = writer.actedOn(cached);
    expect([metadata.generation, spec.label, newest.sizeBytes]).toEqual([1, cached.spec.label, 4096]);
  });

  it('F30 says nothing of Ready on what is NodeLost until the Lease is renewed, but all else', async () => {
    const renewal = { isRenewed: false };
    const { applyStatus, writer } = startWriter(renewal);
    const lost = volumeOf({
      metadata: { resourceVersion: '99' },
      status: { nodeName: 'node-a', conditions: [nodeLost()] },
    });
    const well = {
      observedGeneration: 1,
      conditions: [condition('Mounted', 'True'), condition('Ready', 'True')],
      sizeBytes: 4096,
    };
    await writer.write(lost, well);
    await writer.write(lost, well);
    const saying = (ready: ReturnType<typeof condition>) => ({
      ...well,
      conditions: [condition('Mounted', 'True'), ready],
    });
    expect(applyStatus.mock.calls.map(([draft]) => draft.status)).toEqual([saying(nodeLost())]);
    renewal.isRenewed = true;
    await writer.write(lost, well);
    expect(applyStatus.mock.calls.at(-1)?.[0].status).toEqual(well);
  });

  it('F42 goes by what was said, not by what somebody patched, and takes out what it would not write', async () => {
    const { applyStatus, patch, writer } = startWriter();
    await writer.write(cached, status);
    const forged = { ...status, nodeName: 'node-a', sizeBytes: 7, imagePath: '/forged' };
    const patched = volumeOf({ metadata: { resourceVersion: '1000' }, status: forged });
    const seen = writer.freshest(writer.freshest(patched));
    expect(seen.status).toEqual({ ...status, nodeName: 'node-a' });
    // The server has what was applied, and beside it what nobody applies.
    applyStatus.mockResolvedValueOnce(
      volumeOf({ metadata: { resourceVersion: '1001' }, status: { ...forged, ...status } }),
    );
    await writer.write(seen, status);
    expect(patch.mock.calls).toEqual([
      [
        'ns/vol',
        { metadata: { uid: 'uid-1', resourceVersion: '1001' }, status: { imagePath: null } },
        { type: 'merge', subresource: 'status', fieldManager: 'agent' },
      ],
    ]);
    await writer.write(writer.freshest(patched), status);
    expect(applyStatus).toHaveBeenCalledTimes(2);
  });

  it('sends nothing twice, also while the cache has not seen the first write', async () => {
    const { applyStatus, writer } = startWriter();
    await writer.write(cached, status);
    await writer.write(cached, status);
    expect(applyStatus).toHaveBeenCalledTimes(1);
    expect(writer.freshest(cached).status.sizeBytes).toBe(4096);
  });

  it('believes the cache again when it is newer, as numbers and not as text', async () => {
    const { writer } = startWriter();
    await writer.write(cached, status);
    const newer = volumeOf({ metadata: { resourceVersion: '1000' }, status });
    expect(writer.freshest(newer)).toBe(newer);
  });

  it('a new object of the same name has nothing of the old one', async () => {
    const { writer } = startWriter();
    await writer.write(cached, status);
    const successor = volumeOf({ metadata: { uid: 'uid-2', resourceVersion: '99' } });
    expect(writer.freshest(successor)).toBe(successor);
  });

  it('forgets', async () => {
    const { writer } = startWriter();
    await writer.write(cached, status);
    writer.forget('ns/vol');
    expect(writer.freshest(cached).metadata.resourceVersion).toBe('99');
  });

  it('a write that fails is not remembered as done', async () => {
    const { applyStatus, writer } = startWriter();
    applyStatus.mockRejectedValueOnce(new Error('no API server'));
    await expect(writer.write(cached, status)).rejects.toThrow('no API server');
    await writer.write(cached, status);
    expect(applyStatus).toHaveBeenCalledTimes(2);
  });
});
