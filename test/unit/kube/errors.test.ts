import { describe, expect, test } from 'vitest';
import {
  ApiError,
  apiErrorOf,
  isAlreadyExists,
  isConflict,
  isGone,
  isInvalid,
  isNotFound,
  parseRetryAfter,
} from '../../../src/kube/errors.ts';

describe('parseRetryAfter', () => {
  const now = new Date('2026-10-20T08:00:00Z');
  test.each([
    ['7', 7_000],
    ['0', 0],
    ['-3', 0],
    ['1.5', 1_500],
    ['86400', 120_000],
    ['Tue, 20 Oct 2026 08:00:10 GMT', 10_000],
    ['Tue, 20 Oct 2026 07:00:00 GMT', 0],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%j is %j ms', (header, ms) => {
    expect(parseRetryAfter(header, now)).toBe(ms);
  });
});

describe('apiErrorOf', () => {
  test('takes reason, message and pause from a Status', () => {
    const status = { reason: 'TooManyRequests', message: 'slow down', details: { retryAfterSeconds: 3 } };
    const error = apiErrorOf('GET /x', 429, status);
    expect(error).toMatchObject({
      code: 429,
      reason: 'TooManyRequests',
      message: 'GET /x: slow down',
      retryAfterMs: 3_000,
    });
  });

  test('puts a message on one line and cuts it at 512 characters', () => {
    const error = apiErrorOf('GET /x', 500, { message: `a\n\tb\u001b[31m${'c'.repeat(1000)}` });
    expect(error.message.startsWith('GET /x: a b [31mc')).toBe(true);
    expect(error.message.length).toBe('GET /x: '.length + 513);
  });

  test.each([undefined, null, 'text', 7, {}, { message: 7, reason: {} }])('%j is named by its code alone', (status) => {
    const error = apiErrorOf('GET /x', 503, status);
    expect(error.message).toBe('GET /x: HTTP 503 ServiceUnavailable');
    expect(error.retryAfterMs).toBeUndefined();
  });
});

describe('kinds of ApiError', () => {
  const predicates = {
    isNotFound,
    isConflict,
    isAlreadyExists,
    isGone,
    isInvalid,
  };
  test.each([
    [404, 'NotFound', ['isNotFound']],
    [409, 'Conflict', ['isConflict']],
    [409, 'AlreadyExists', ['isAlreadyExists']],
    [410, 'Expired', ['isGone']],
    [410, 'Gone', ['isGone']],
    [422, 'Invalid', ['isInvalid']],
    [400, 'BadRequest', ['isInvalid']],
    [403, 'Forbidden', []],
    [0, 'Timeout', []],
    [503, 'ServiceUnavailable', []],
  ])('%i %s is %j', (code, reason, names) => {
    const error = new ApiError(code, reason, 'message');
    const holding = Object.entries(predicates).filter(([, holds]) => holds(error));
    expect(holding.map(([name]) => name)).toEqual(names);
  });

  test('no other error is any of them', () => {
    const error = Object.assign(new Error('not ours'), { code: 404 });
    expect(Object.values(predicates).some((holds) => holds(error))).toBe(false);
  });
});
