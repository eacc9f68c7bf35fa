import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

const logModule = new URL('../../../src/log.ts', import.meta.url).href;

/** What a process writes that logs and then ends at once. */
function linesOf(statements: string): Record<string, unknown>[] {
  const script = `import { createLogger } from ${JSON.stringify(logModule)};
    const log = createLogger({ logLevel: 'info', bindings: { node: 'a' } }); ${statements}; process.kill(process.pid, 'SIGKILL')`;
  const run = () => execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  try {
    return parse(run());
  } catch (error) {
    return parse((error as { stdout: string }).stdout);
  }
}

function parse(stdout: string): Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

describe('createLogger', () => {
  it('writes JSON with time and level in words before a process dies', () => {
    const lines = linesOf(`log.debug('hidden'); log.warn({ key: 'v' }, 'shown')`);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 'warn', node: 'a', msg: 'shown' });
    expect(lines[0]?.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('never writes secrets', () => {
    const [line] = linesOf(`log.info({ token: 's3cret', options: { authorization: 's3cret' } }, 'x')`);
    expect(JSON.stringify(line)).not.toContain('s3cret');
  });

  it('writes errors with their message and cause', () => {
    const [line] = linesOf(`log.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'x')`);
    expect(line?.err).toMatchObject({ type: 'Error', message: expect.stringContaining('outer: inner') });
  });
});
