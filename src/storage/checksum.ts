import { createHash } from 'node:crypto';
import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import { StorageError } from './errors.ts';

/**
 * A pass-through that does not end but fails when what went through has another sha256 than expected: code `damaged`, reason
 * `ChecksumMismatch`. So whoever reads it learns it at the very end, and must not take anything for good before. Without an
 * expectation it passes everything.
 */
export function createChecksum(expected: string | undefined, origin: string): Transform {
  if (expected === undefined) return new PassThrough();
  const hash = createHash('sha256');
  return new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
      hash.update(chunk);
      done(null, chunk);
    },
    flush(done: TransformCallback) {
      const found = hash.digest('hex');
      done(found === expected ? null : mismatch(origin, expected, found));
    },
  });
}

function mismatch(origin: string, expected: string, found: string): StorageError {
  return new StorageError(
    'damaged',
    `${origin} has sha256 ${found}, and the spec says ${expected}; correct the spec, or the content`,
    { reason: 'ChecksumMismatch' },
  );
}
