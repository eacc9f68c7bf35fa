import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { commands } from '../../../src/storage/streams/stream-format.ts';
import { command, commandsOf, end, snapshot, streamOf } from '../../builders/send-stream.ts';

const MiB = 2 ** 20;

/** Leaves room for a few MiB. */
export function fillUp(dataPath: string): string[] {
  return [64, 16, 8, 4].map((size) => {
    const filling = path.join(dataPath, `filling-${size}`);
    spawnSync('fallocate', ['--length', `${size}MiB`, filling]);
    return filling;
  });
}

/** Commands that write as much to the file `noise`, which no compression makes smaller. */
export function noise(bytes: number): Buffer[] {
  const piece = 48 * 1024;
  return Array.from({ length: Math.ceil(bytes / piece) }, (_, index) =>
    command('write', { path: 'noise', file_offset: index * piece, data: randomBytes(piece) }),
  );
}

/** An increment on the subvolume with this uuid. */
export function incrementOn(parentUUID: string | undefined, ...parts: readonly Buffer[]): Buffer {
  const uuid = Buffer.from((parentUUID ?? '').replaceAll('-', ''), 'hex');
  return streamOf(1, snapshot({ clone_uuid: uuid }), ...parts, end());
}

/** A command that names the parent, and clones from another place than was sent. */
export function withChangedClone(stream: Buffer): Buffer {
  const changed = Buffer.from(stream);
  const clone = commandsOf(changed).find((each) => each.readUInt16LE(4) === commands.clone.code);
  if (clone === undefined) throw new Error('the stream clones nothing');
  clone[clone.length - 7] = (clone.at(-7) ?? 0) ^ 0x10;
  return changed;
}

/** One bit of its data is another one. */
export function withChangedByte(stream: Buffer): Buffer {
  const changed = Buffer.from(stream);
  changed[4 * MiB] = (stream.at(4 * MiB) ?? 0) ^ 1;
  return changed;
}
