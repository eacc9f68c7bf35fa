import { describe, expect, it } from 'vitest';
import { kstatusOf } from '../../builders/kstatus.ts';

const condition = (type: string, status: 'True' | 'False' | 'Unknown') => ({ type, status });

describe('kstatusOf', () => {
  it.each([
    ['Current: nothing is known of it', { metadata: { generation: 1 } }, 'Current'],
    ['InProgress: nobody has seen it', { status: { observedGeneration: -1 } }, 'InProgress'],
    [
      'InProgress: an older one was seen',
      { metadata: { generation: 2 }, status: { observedGeneration: 1 } },
      'InProgress',
    ],
    ['Current: Ready', { status: { observedGeneration: 1, conditions: [condition('Ready', 'True')] } }, 'Current'],
    ['InProgress: not Ready', { status: { conditions: [condition('Ready', 'False')] } }, 'InProgress'],
    ['InProgress: nobody knows', { status: { conditions: [condition('Ready', 'Unknown')] } }, 'InProgress'],
    [
      'InProgress: Ready, and work goes on',
      { status: { conditions: [condition('Ready', 'True'), condition('Reconciling', 'True')] } },
      'InProgress',
    ],
    [
      'Failed: Ready, and no retry mends what is wanted',
      { status: { conditions: [condition('Ready', 'True'), condition('Stalled', 'True')] } },
      'Failed',
    ],
    [
      'Current: neither of them',
      {
        status: {
          conditions: [condition('Stalled', 'False'), condition('Reconciling', 'False'), condition('Ready', 'True')],
        },
      },
      'Current',
    ],
    [
      'Terminating: whatever else',
      { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' }, status: { observedGeneration: -1 } },
      'Terminating',
    ],
  ] as const)('%s', (_, object, status) => {
    expect(kstatusOf({ metadata: { generation: 1 }, ...object })).toBe(status);
  });
});
