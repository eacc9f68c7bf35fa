import { describe, expect, it } from 'vitest';
import { StorageError } from '../../../../src/storage/errors.ts';
import { encodedStreams, hostileStreams, unprintableNames } from '../../../builders/hostile-streams.ts';
import { command, end, full, increment, streamOf, subvol } from '../../../builders/send-stream.ts';
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

  it.each(unprintableNames)(
    'F22 createStreamValidator: refuses a subvolume that is called %j, and says what to do',
    async (path) => {
      const { error } = await validate(streamOf(1, subvol({ path }), end()));
      expect(error).toMatchObject({ code: 'refused', reason: 'StreamRefused' });
      expect(error?.message).toMatch(/^[^\p{Cc}]* can't be shown on one line; send one with another name$/u);
    },
  );

  const device = (path: string) => command('mknod', { path, mode: 0o60600, rdev: 0x700 });
  const rename = (path: string, to: string) => command('rename', { path, path_to: to });
  const mkdir = (path: string) => command('mkdir', { path });
  it.each([
    ['is renamed at once', [device('o274-11-0'), rename('o274-11-0', 'disk')], 'disk'],
    ['is renamed late', [device('o274-11-0'), mkdir('x'), mkdir('y'), rename('o274-11-0', 'x/disk')], 'x/disk'],
    [
      'lies in what is renamed later',
      [mkdir('o7-1-0'), device('o274-11-0'), rename('o274-11-0', 'o7-1-0/disk'), rename('o7-1-0', 'dev')],
      'dev/disk',
    ],
    [
      'is followed by what is wrong as well',
      [device('o274-11-0'), command('mkfile', { path: '../a' }), rename('o274-11-0', 'disk')],
      'disk',
    ],
    ['never gets another name', [device('o274-11-0'), mkdir('x')], 'o274-11-0'],
    [
      'is a file with rights',
      [
        command('mkfile', { path: 'o7-1-0' }),
        command('chmod', { path: 'o7-1-0', mode: 0o4755 }),
        rename('o7-1-0', 'su'),
      ],
      'su',
    ],
  ])('F25 createStreamValidator: names what %s by the name that it gets', async (_, commands, name) => {
    const stream = full(...commands);
    const whole = await validate(stream);
    expect(whole.error?.message).toMatch(
      /^could not accept the stream at byte \d+, command \d+ \((mknod|chmod)\): it makes /,
    );
    expect(whole.error?.message).toContain(` ${JSON.stringify(name)}`);
    const bytewise = await validate(stream, { next: () => 1 });
    expect(bytewise.error?.message).toBe(whole.error?.message);
    const at = stream.indexOf(commands.find((each) => each.readUInt16LE(4) === (name === 'su' ? 18 : 5)) ?? '');
    const size = stream.readUInt32LE(at) + 10;
    expect(bytewise.output.length, 'receive never sees all of what is refused').toBe(at + size - 1);
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
