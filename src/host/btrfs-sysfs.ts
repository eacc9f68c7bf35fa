import { readdir, readFile } from 'node:fs/promises';

const ROOT = '/sys/fs/btrfs';

/** Names of the devices of a live filesystem, e.g. `['loop0']`; undefined when no mount anywhere on this machine keeps it alive. */
export async function liveDevices(filesystemUUID: string): Promise<readonly string[] | undefined> {
  return orAbsent(readdir(`${ROOT}/${filesystemUUID}/devices`));
}

/** Label of a live filesystem as the kernel has it. */
export async function readLabel(filesystemUUID: string): Promise<string | undefined> {
  const text = await orAbsent(readFile(`${ROOT}/${filesystemUUID}/label`, 'utf8'));
  return text?.replace(/\n$/, '');
}

/** What the kernel counted since the filesystem was made, in its words: write, read, flush, corruption, generation. */
export type DeviceErrors = Readonly<Record<string, number>>;

/** Error counters of a live filesystem, of all its devices together; empty when nothing on this machine keeps it alive. */
export async function readDeviceErrors(filesystemUUID: string): Promise<DeviceErrors> {
  const ids = (await orAbsent(readdir(`${ROOT}/${filesystemUUID}/devinfo`))) ?? [];
  const texts = await Promise.all(
    ids.map((id) => orAbsent(readFile(`${ROOT}/${filesystemUUID}/devinfo/${id}/error_stats`, 'utf8'))),
  );
  return parseErrorStats(texts.join('\n'));
}

/** Parses `write_errs 0\nread_errs 0\n…` (kernel 5.14); `invalid` while the counters are not there counts as none. */
export function parseErrorStats(text: string): DeviceErrors {
  const errors: Record<string, number> = {};
  for (const [, kind = '', count] of text.matchAll(/^(\w+)_errs (\d+)$/gm)) {
    errors[kind] = (errors[kind] ?? 0) + Number(count);
  }
  return errors;
}

/** Profiles of the data of a live filesystem, such as `['single']`; empty when nothing on this machine keeps it alive. */
export async function readDataProfiles(filesystemUUID: string): Promise<readonly string[]> {
  const path = `${ROOT}/${filesystemUUID}/allocation/data`;
  const entries = (await orAbsent(readdir(path, { withFileTypes: true }))) ?? [];
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

async function orAbsent<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENODEV'))
      return undefined;
    throw error;
  }
}
