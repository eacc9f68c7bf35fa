import {
  attributeRows,
  COMMAND_HEADER_BYTES,
  type CommandName,
  commands,
} from '../../src/storage/streams/stream-format.ts';
import {
  CAPABILITY,
  command,
  commandsOf,
  FOREIGN_UUID,
  rawAttribute,
  rawCommand,
  type StreamVersion,
  streamOf,
  type Values,
  withChecksum,
} from './send-stream.ts';

type Random = () => number;

/** What mutations are made of: whole streams to cut from, and paths that are worth trying. */
export interface Material {
  readonly streams: readonly Buffer[];
  readonly paths: readonly string[];
}

interface Draft {
  readonly version: StreamVersion;
  readonly commands: Buffer[];
  readonly random: Random;
  readonly material: Material;
}

const pick = <T>(random: Random, from: readonly T[]): T => {
  const found = from[Math.floor(random() * from.length)];
  if (found === undefined) throw new Error('nothing to pick from');
  return found;
};

/** A valid stream of the material after one to four changes, most of them with the right checksums. */
export function mutated(material: Material, random: Random): Buffer {
  const stream = pick(random, material.streams);
  const version = stream.readUInt32LE(13) === 1 ? 1 : 2;
  const draft: Draft = { version, commands: commandsOf(stream), random, material };
  for (let left = 1 + Math.floor(random() * 4); left > 0; left--) pick(random, mutations)(draft);
  return streamOf(version, ...draft.commands);
}

const mutations: readonly ((draft: Draft) => void)[] = [
  flipBit,
  flipBitWithoutChecksum,
  takeAway,
  repeat,
  swap,
  splice,
  changePath,
  changePath,
  changePath,
  changeNumber,
  insert,
  insert,
];

function indexIn({ commands, random }: Draft): number {
  return Math.floor(random() * commands.length);
}

function change(draft: Draft, how: (command: Buffer) => Buffer): void {
  const index = indexIn(draft);
  const given = draft.commands[index];
  if (given !== undefined) draft.commands[index] = how(Buffer.from(given));
}

function flipBit(draft: Draft): void {
  change(draft, (given) => withChecksum(flipped(given, draft.random)));
}

function flipBitWithoutChecksum(draft: Draft): void {
  change(draft, (given) => flipped(given, draft.random));
}

/** Mostly near the beginning: names and lengths are there, and data is long. */
function flipped(given: Buffer, random: Random): Buffer {
  const at = Math.floor(random() ** 2 * given.length);
  given[at] = (given[at] ?? 0) ^ (1 << Math.floor(random() * 8));
  return given;
}

function takeAway(draft: Draft): void {
  draft.commands.splice(indexIn(draft), 1);
}

function repeat(draft: Draft): void {
  const given = draft.commands[indexIn(draft)];
  if (given !== undefined) draft.commands.splice(indexIn(draft), 0, given);
}

function swap({ commands, random }: Draft): void {
  const at = Math.floor(random() * commands.length);
  const [first] = commands.splice(at, 1);
  if (first !== undefined) commands.splice(Math.floor(random() * commands.length), 0, first);
}

function splice(draft: Draft): void {
  const { material, random, commands } = draft;
  const other = commandsOf(pick(random, material.streams));
  const from = Math.floor(random() * other.length);
  commands.splice(indexIn(draft), 0, ...other.slice(from, from + 1 + Math.floor(random() * 20)));
}

function changePath(draft: Draft): void {
  const { random, material, version } = draft;
  change(draft, (given) =>
    rebuilt(given, version, (name, value) =>
      /path/.test(name) && random() < 0.7 ? Buffer.from(pick(random, material.paths), 'latin1') : value,
    ),
  );
}

function changeNumber(draft: Draft): void {
  const { random, version } = draft;
  change(draft, (given) =>
    rebuilt(given, version, (_, value) => {
      if (value.length !== 8 || random() < 0.5) return value;
      const number = Buffer.alloc(8);
      number.writeBigUInt64LE(pick(random, [0n, 0o4755n, 0o2755n, 0o20666n, 0o60666n, 1n << 40n, (1n << 64n) - 1n]));
      return number;
    }),
  );
}

/** A command of the generator, with paths of the material, somewhere in the stream. */
function insert({ random, material, version, commands: given }: Draft): void {
  const path = () => pick(random, material.paths);
  const values: Readonly<Partial<Record<CommandName, Values>>> = {
    rename: { path_to: path() },
    link: { path_link: path() },
    symlink: { path_link: path() },
    set_xattr: { xattr_name: 'security.capability', xattr_data: CAPABILITY },
    clone: { clone_path: path(), clone_uuid: random() < 0.5 ? FOREIGN_UUID : uuidOf(given), clone_len: 4096 },
    chmod: { mode: pick(random, [0o4755, 0o2755, 0o755]) },
    mknod: { mode: pick(random, [0o20666, 0o60666, 0o10666]) },
  };
  const name = pick(random, Object.keys(commands) as CommandName[]);
  const added = command(name, name === 'end' ? {} : { path: path(), ...values[name] }, version);
  given.splice(Math.floor(random() * given.length), 0, added);
}

/** The UUID that the first command gives, if it has one: that of its own subvolume. */
function uuidOf([first]: readonly Buffer[]): Buffer {
  let found: Buffer = FOREIGN_UUID;
  if (first !== undefined)
    rebuilt(first, 1, (name, value) => {
      if (name === 'uuid' && value.length === 16) found = value;
      return value;
    });
  return found;
}

/** The command with other values; as it is when it is not well formed any more. */
function rebuilt(given: Buffer, version: StreamVersion, changed: (name: string, value: Buffer) => Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = COMMAND_HEADER_BYTES; at < given.length; ) {
    if (at + 4 > given.length) return given;
    const code = given.readUInt16LE(at);
    const name = attributeRows[code]?.name ?? 'unknown';
    const withoutLength = version === 2 && name === 'data';
    const start = at + (withoutLength ? 2 : 4);
    const end = withoutLength ? given.length : start + given.readUInt16LE(at + 2);
    if (end > given.length) return given;
    parts.push(rawAttribute(code, changed(name, given.subarray(start, end)), withoutLength));
    at = end;
  }
  return rawCommand(given.readUInt16LE(4), Buffer.concat(parts));
}
