import type { Run } from './command.ts';

/**
 * What a low-level probe finds in a file or device, e.g. `ext4`; undefined if it finds nothing.
 * Exit code 2 is «nothing», 8 is «ambivalent» (blkid(8)), which counts as unknown content.
 */
export async function probeContent(run: Run, path: string): Promise<string | undefined> {
  const { exitCode, stdout } = await run({
    file: 'blkid',
    args: ['--probe', '--output', 'export', '--', path],
    timeoutMs: 30_000,
    okExitCodes: [0, 2, 8],
  });
  if (exitCode === 8) return 'several signatures';
  return parseBlkidExport(stdout);
}

/** Parses `blkid -p -o export` of util-linux 2.38: `TYPE=ext4` for a filesystem, `PTTYPE=gpt` for a partition table; undefined without either. */
export function parseBlkidExport(stdout: string): string | undefined {
  const fields = new Map(stdout.split('\n').map((line) => line.split('=', 2) as [string, string]));
  return fields.get('TYPE') ?? fields.get('PTTYPE');
}
