import { CAPABILITY, command, full } from './send-stream.ts';

type Random = () => number;
type Kind = 'directory' | 'file' | 'symlink' | 'fifo';

const NAMES = ['a', 'b', 'c'];
/** Of 100 commands so many do not care whether they can succeed. */
const CARELESS = 4;

/**
 * A full stream of up to 40 commands in few names, so that they meet: files, directories, fifos and symlinks to `targets` are made,
 * hard linked, moved with what is in them, removed and written to. Most commands can succeed after those before them.
 */
export function randomStream(targets: readonly string[], random: Random): Buffer {
  const world = new Map<string, Kind>();
  const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];
  const existing = (...kinds: readonly Kind[]) =>
    pick([...world].filter(([, kind]) => kinds.includes(kind)).map(([path]) => path));
  const anywhere = () => Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(NAMES)).join('/');
  const fresh = () => {
    const parent =
      random() < 0.3 ? undefined : existing('directory', ...(random() < 0.02 ? (['symlink'] as const) : []));
    const path = parent === undefined ? pick(NAMES) : `${parent}/${pick(NAMES)}`;
    return path !== undefined && (!world.has(path) || random() * 100 < CARELESS) ? path : undefined;
  };
  const make = (name: 'mkfile' | 'mkdir' | 'mkfifo' | 'symlink', kind: Kind) => {
    const path = fresh();
    if (path === undefined) return undefined;
    world.set(path, kind);
    return command(name, { path, ...(name === 'symlink' ? { path_link: pick(targets) ?? '/' } : {}) });
  };
  const rename = () => {
    const [from, to] = [existing('directory', 'file', 'symlink', 'fifo'), fresh()];
    if (from === undefined || to === undefined) return undefined;
    if (to.startsWith(`${from}/`) && random() * 100 > CARELESS) return undefined;
    for (const [path, kind] of [...world]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      world.delete(path);
      world.set(to + path.slice(from.length), kind);
    }
    return command('rename', { path: from, path_to: to });
  };
  const link = () => {
    const [target, path] = [existing('file', 'symlink', 'fifo'), fresh()];
    if (target === undefined || path === undefined) return undefined;
    world.set(path, world.get(target) ?? 'file');
    return command('link', { path, path_link: target });
  };
  const remove = () => {
    const path = existing('file', 'symlink', 'fifo');
    if (path !== undefined) world.delete(path);
    return path === undefined ? undefined : command('unlink', { path });
  };
  const touch = () => {
    const path = random() * 100 < CARELESS ? anywhere() : existing('file');
    const name = pick(['write', 'truncate', 'chmod', 'chown', 'clone'] as const) ?? 'write';
    const values = name === 'clone' ? { clone_path: existing('file') ?? anywhere(), clone_len: 0 } : {};
    return path === undefined ? undefined : command(name, { path, ...values });
  };
  const giveRights = () => {
    const path = existing('file', 'directory');
    if (path === undefined || random() * 100 > 2 * CARELESS) return undefined;
    const [bits, device] = [pick([0o4755, 0o2755, 0o6711]) ?? 0, pick([0o20666, 0o60666]) ?? 0];
    const node = command('mknod', { path: `${anywhere()}0`, mode: device, rdev: 0x103 });
    const capability = command('set_xattr', { path, xattr_name: 'security.capability', xattr_data: CAPABILITY });
    return pick([command('chmod', { path, mode: bits }), capability, node]);
  };
  const steps = [
    () => make('mkfile', 'file'),
    () => make('mkdir', 'directory'),
    () => make('mkdir', 'directory'),
    () => make('symlink', 'symlink'),
    () => make('mkfifo', 'fifo'),
    rename,
    rename,
    link,
    remove,
    touch,
    giveRights,
  ];
  const parts = Array.from({ length: Math.ceil(random() * 40) }, () => pick(steps)?.());
  return full(...parts.filter((part) => part !== undefined));
}
