import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const MAX_BYTES = 256 * 1024 * 1024;
const run = promisify(execFile);

/** One line for each thing in a tree, sorted by path; names and targets as their bytes are. */
export type Manifest = readonly string[];

/**
 * What a tree is to whoever reads it: type, mode, owner, size, time of change in nanoseconds, target, names of the same file,
 * BLAKE2 sum, all extended attributes (ACLs are such); below directory `bare` there are only directories without attributes. The top directory counts too, but for its time of change.
 *
 * NOTE: an incremental `btrfs send` makes new things in the top directory under names of the moment, and does not restore its
 * time afterwards (Linux 6.18): raw send and receive lose it as well.
 */
export async function manifestOf(treePath: string, bare: string): Promise<Manifest> {
  // One walk over what may be many directories; only what is not below `bare` is looked at for more.
  const rich = `find . -path ./${bare} -prune -o`;
  const [entries, sums, attributes] = await Promise.all([
    entriesOf(treePath),
    read(treePath, `${rich} -type f -print0 | LC_ALL=C sort -z | xargs -0 -r b2sum -z --`),
    read(treePath, `${rich} -print0 | xargs -0 -r getfattr --no-dereference --dump --encoding=hex --match=- --`),
  ]);
  return [...entries, ...sums.split('\0'), ...paragraphsOf(attributes)];
}

/** Bytes of disk that the file of this path takes, holes not counted. */
export async function allocatedBytesOf(filePath: string): Promise<number> {
  return 512 * Number((await run('stat', ['--format=%b', '--', filePath])).stdout);
}

/** Inode numbers differ: names of one file are shown by the first of them. */
async function entriesOf(treePath: string): Promise<string[]> {
  const found = (await read(treePath, "find . -printf '%i\\t%P\\t%y %m %U:%G %s %T@ %n %l\\0'"))
    .split('\0')
    .slice(0, -1);
  const lines = found
    .map((line) => /^(\d+)\t([\s\S]*?)\t([^\t]*)$/.exec(line) ?? fail(line))
    .map(([, inode = '', name = '', rest = '']) => ({
      inode,
      name,
      rest: name === '' ? rest.replace(/ -?[0-9]+\.[0-9]+ /, ' ') : rest,
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const firstOf = new Map<string, string>();
  for (const { inode, name } of lines) if (!firstOf.has(inode)) firstOf.set(inode, name);
  return lines.map(
    ({ inode, name, rest }) => `${JSON.stringify(name)} ${rest} = ${JSON.stringify(firstOf.get(inode))}`,
  );
}

function fail(line: string): never {
  throw new Error(`find printed ${JSON.stringify(line)}`);
}

function paragraphsOf(text: string): string[] {
  return text
    .split('\n\n')
    .map((paragraph) => paragraph.split('\n').toSorted().join(' '))
    .toSorted();
}

/** As Latin-1: each byte is a character, also of names that are no UTF-8. */
async function read(cwd: string, script: string): Promise<string> {
  const { stdout } = await run('sh', ['-c', script], { cwd, encoding: 'latin1', maxBuffer: MAX_BYTES });
  return stdout;
}
