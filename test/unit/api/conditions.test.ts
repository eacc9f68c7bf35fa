import { describe, expect, test } from 'vitest';
import { findCondition, formatTime, isTrue, removeCondition, setCondition } from '../../../src/api/conditions.ts';

const early = new Date('2026-11-21T10:00:00.123Z');
const late = new Date('2026-11-21T11:00:00.999Z');
const ready = { type: 'Ready', status: 'True', reason: 'Ready', message: 'mounted', observedGeneration: 3 } as const;

describe('setCondition', () => {
  test('setCondition: adds a condition with the time of now, without fractions of a second', () => {
    expect(setCondition(undefined, ready, early)).toEqual([{ ...ready, lastTransitionTime: '2026-11-21T10:00:00Z' }]);
  });

  test('setCondition: keeps lastTransitionTime while status stays, and takes the rest', () => {
    const list = setCondition([], ready, early);
    const [next] = setCondition(list, { ...ready, reason: 'Unmounted', message: 'm', observedGeneration: 4 }, late);
    expect(next).toEqual({
      ...ready,
      reason: 'Unmounted',
      message: 'm',
      observedGeneration: 4,
      lastTransitionTime: '2026-11-21T10:00:00Z',
    });
  });

  test('setCondition: a changed status takes the time of now', () => {
    const list = setCondition([], ready, early);
    expect(setCondition(list, { ...ready, status: 'False' }, late)[0]?.lastTransitionTime).toBe('2026-11-21T11:00:00Z');
  });

  test('setCondition: keeps the order, puts new types last, changes neither list nor entries given', () => {
    const first = setCondition(setCondition([], ready, early), { ...ready, type: 'Mounted' }, early);
    const before = structuredClone(first);
    const next = setCondition(setCondition(first, { ...ready, status: 'False' }, late), { ...ready, type: 'A' }, late);
    expect(next.map(({ type }) => type)).toEqual(['Ready', 'Mounted', 'A']);
    expect(first).toEqual(before);
  });

  test('setCondition: the same update twice gives an equal list, so that nothing is written', () => {
    const list = setCondition([], ready, early);
    expect(setCondition(list, ready, late)).toEqual(list);
  });

  test('setCondition: leaves observedGeneration out if there is none', () => {
    const update = { ...ready, observedGeneration: undefined };
    expect(Object.keys(setCondition([], update, early)[0] ?? {})).not.toContain('observedGeneration');
  });
});

test('removeCondition, findCondition and isTrue: tell what is there', () => {
  const list = setCondition(setCondition([], ready, early), { ...ready, type: 'Damaged', status: 'False' }, early);
  expect(findCondition(list, 'Damaged')?.status).toBe('False');
  expect(findCondition(undefined, 'Ready')).toBeUndefined();
  expect([isTrue(list, 'Ready'), isTrue(list, 'Damaged'), isTrue(list, 'Stalled')]).toEqual([true, false, false]);
  expect(removeCondition(list, 'Ready', 'Stalled').map(({ type }) => type)).toEqual(['Damaged']);
  expect(removeCondition(undefined, 'Ready')).toEqual([]);
});

test('formatTime: RFC 3339 in UTC without fractions', () => {
  expect(formatTime(early)).toBe('2026-11-21T10:00:00Z');
});
