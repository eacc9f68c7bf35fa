import { describe, expect, it, vi } from 'vitest';
import { createProgress } from '../../../src/agent/volumes/progress.ts';
import type { Progress } from '../../../src/agent/volumes/report.ts';
import { GIB } from '../../builders/wishes.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const step = { phase: 'Balancing', sizeBytes: GIB, movedBytes: 4096 };

function started(write: (progress: Progress) => Promise<void> = async () => {}) {
  const clock = new ManualClock();
  const written = vi.fn(write);
  return {
    clock,
    written,
    progress: createProgress({ kind: 'minimize', headroomBytes: 0, request: 'r' }, clock, written),
  };
}

describe('createProgress', () => {
  it('writes the first step at once, with when it began', async () => {
    const { clock, progress, written } = started();
    await clock.advance(2_000);
    progress.on(step);
    expect(written.mock.calls).toEqual([
      [{ operation: 'Minimize', ...step, startedAt: '2026-01-01T00:00:00Z', updatedAt: '2026-01-01T00:00:02Z' }],
    ]);
  });

  it('writes every 5 s at most', async () => {
    const { clock, progress, written } = started();
    for (let seconds = 0; seconds <= 10; seconds++) {
      progress.on(step);
      await clock.advance(1_000);
    }
    expect(written).toHaveBeenCalledTimes(3);
  });

  it('a shrink is called one', () => {
    const clock = new ManualClock();
    const written = vi.fn(async () => {});
    createProgress({ kind: 'resize', targetBytes: GIB }, clock, written).on(step);
    expect(written).toHaveBeenCalledWith(expect.objectContaining({ operation: 'Shrink' }));
  });

  it('a write that fails stops neither the work nor the next write', async () => {
    const { clock, progress, written } = started(() => Promise.reject(new Error('no API server')));
    progress.on(step);
    await clock.advance(5_000);
    progress.on(step);
    await progress.end();
    expect(written).toHaveBeenCalledTimes(2);
  });

  it('a slow write is not joined by a second one, and end waits for it', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { clock, progress, written } = started(() => promise);
    progress.on(step);
    await clock.advance(60_000);
    progress.on(step);
    expect(written).toHaveBeenCalledTimes(1);
    let ended = false;
    const end = progress.end().then(() => {
      ended = true;
    });
    await clock.advance(1);
    expect(ended).toBe(false);
    resolve();
    await end;
  });

  it('nothing is written after the end', async () => {
    const { progress, written } = started();
    await progress.end();
    progress.on(step);
    expect(written).not.toHaveBeenCalled();
  });
});
