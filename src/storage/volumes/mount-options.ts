import { optionValue } from '../../host/mountinfo.ts';

/** How a volume wants to be mounted, in the words of its spec. */
export interface MountSettings {
  /** none | lzo | zlib[:n] | zstd[:n]. */
  readonly compression: string;
  readonly discard: 'Async' | 'Sync' | 'Off';
  readonly durability: 'Full' | 'Disposable';
}

/** On every mount: reading keeps a subvolume's generation, and nothing in a volume gains privileges on the node. */
const ALWAYS = ['noatime', 'nosuid', 'nodev'] as const;
/** What btrfs makes of a missing level, and the highest level it takes for zstd in its kernel workspace (btrfs(5)). */
const DEFAULT_LEVEL = 3;
const MAX_ZSTD_LEVEL = 15;

const discardOption = { Async: 'discard=async', Sync: 'discard=sync', Off: 'nodiscard' } as const;

/** Options that give up speed or space, not safety or the user's wish, when the kernel refuses them. */
export function isBestEffort(option: string): boolean {
  return option.includes('discard') || option.startsWith('compress=');
}

/** Options for mount and remount; `subvolid` is added by the one who mounts. */
export function mountOptions(settings: MountSettings): readonly string[] {
  return [
    ...ALWAYS,
    `compress=${effectiveCompression(settings.compression)}`,
    discardOption[settings.discard],
    settings.durability === 'Disposable' ? 'nobarrier' : 'barrier',
  ];
}

/** `zstd:19` → `zstd:15`, `zlib` → `zlib:3`; the form in which the kernel lists it. */
export function effectiveCompression(wanted: string): string {
  const [algorithm = 'none', level] = wanted.split(':');
  if (algorithm === 'none' || algorithm === 'lzo') return algorithm;
  const number = level === undefined ? DEFAULT_LEVEL : Number(level);
  return `${algorithm}:${algorithm === 'zstd' ? Math.min(number, MAX_ZSTD_LEVEL) : number}`;
}

/** Compression in effect, from the options that the kernel lists. */
export function compressionOf(listed: readonly string[]): string {
  return optionValue(listed, 'compress') ?? 'none';
}

/** The wanted options that are not in effect, from the options that the kernel lists for a mount. */
export function missingOptions(settings: MountSettings, listed: readonly string[]): readonly string[] {
  return mountOptions(settings).filter((option) => !isInEffect(option, listed));
}

/** The kernel lists only what differs from its default: no `barrier`, no `compress=none`, `discard` for `discard=sync`. */
function isInEffect(option: string, listed: readonly string[]): boolean {
  switch (option) {
    case 'barrier':
      return !listed.includes('nobarrier');
    case 'compress=none':
      return compressionOf(listed) === 'none';
    case 'discard=sync':
      return listed.includes('discard') || listed.includes(option);
    case 'nodiscard':
      return !listed.some((other) => other.startsWith('discard'));
    default:
      return listed.includes(option);
  }
}
