import { describe, expect, it } from 'vitest';
import { StorageError } from '../../../../src/storage/errors.ts';
import { encodedStreams, hostileStreams } from '../../../builders/hostile-streams.ts';
import { command, end, increment } from '../../../builders/send-stream.ts';
import { validate } from '../../../builders/validate.ts';

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

describe('hostile streams', () => {
  it.each(hostileStreams)('A15 createStreamValidator: refuses a stream that $title', async ({ stream, says, code }) => {
    const { error, output } = await validate(stream);
    expect(error).toBeInstanceOf(StorageError);
    expect(error).toMatchObject({ code: code ?? 'refused', reason: 'StreamRefused' });
    const { message } = error as StorageError;
    if (typeof says === 'string') expect(message).toContain(says);
    else expect(message).toMatch(says);
    expect(message).toMatch(/^could not accept the stream/);
    expect(message).not.toMatch(UNPRINTABLE);
    expect(message.length).toBeLessThan(600);
    expect(output.subarray(-10).equals(end()), 'receive must not see an end').toBe(false);
  });

  it.each(encodedStreams)('F2 createStreamValidator: says what to do with a stream that $title', async ({ stream }) => {
    const { error } = await validate(stream);
    expect(error?.message).toMatch(
      /^could not accept the stream at byte \d+, command 3 \(encoded_write\): its data is compressed; make the stream with btrfs send without --compressed-data$/,
    );
  });

  it('A15 createStreamValidator: refuses the same streams byte by byte, with the same words', async () => {
    for (const { title, stream } of hostileStreams) {
      if (stream.length > 10_000) continue;
      const whole = await validate(stream);
      const bytewise = await validate(stream, { next: () => 1 });
      expect(bytewise.error?.message, title).toBe(whole.error?.message);
    }
  });

  it('A15 createStreamValidator: nothing of a refused command is enough for receive to act on it', async () => {
    const good = increment(command('mkfile', { path: 'a' })).subarray(0, -10);
    const bad = command('mkfile', { path: '../b' });
    const { output } = await validate(Buffer.concat([good, bad]), { next: () => 1 });
    expect(output.length).toBe(good.length + bad.length - 1);
    expect(Buffer.concat([good, bad]).subarray(0, output.length).equals(output)).toBe(true);
  });

  it('A15 createStreamValidator: says where it is: the command, its number and its first byte', async () => {
    const { error } = await validate(
      increment(command('mkfile', { path: 'a' }), command('mkdir', { path: '/b\u009b\n' })),
    );
    const offset = increment(command('mkfile', { path: 'a' })).length - 10;
    expect(error?.message).toBe(
      `could not accept the stream at byte ${offset}, command 3 (mkdir): the path "/b\ufffd\\n" is absolute`,
    );
  });
});
