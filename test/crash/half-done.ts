import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Plan } from './shims.ts';

/**
 * What a kill between two steps of the agent's own leaves, where no command marks the boundary: the agent is killed at the
 * next command and the steps before that are taken back by hand.
 */
export interface HalfDone {
  /** As it reads after «killed while». */
  readonly what: string;
  readonly turn: 'create' | 'delete';
  readonly plan: Plan;
  readonly takeBack: (rootPath: string) => void;
}

const attaching: Plan = { fault: 'kill-before', verb: 'losetup --find', number: 1 };
const removing: Plan = { fault: 'kill-after', verb: 'chattr -i', number: 1 };

export const halfDone: readonly HalfDone[] = [
  {
    what: 'the new image had no record yet',
    turn: 'create',
    plan: attaching,
    takeBack: (rootPath) => {
      unnameImage(rootPath);
      rmSync(recordPath(rootPath));
    },
  },
  {
    what: 'the new image had no name yet',
    turn: 'create',
    plan: attaching,
    takeBack: unnameImage,
  },
  {
    what: 'a record was half written',
    turn: 'create',
    plan: attaching,
    takeBack: (rootPath) => writeFileSync(`${recordPath(rootPath)}.tmp`, '{"schemaVersion": 1, "ki'),
  },
  {
    what: 'the image was gone, its record not',
    turn: 'delete',
    plan: removing,
    takeBack: (rootPath) => rmSync(imagePath(rootPath)),
  },
];

function unnameImage(rootPath: string): void {
  renameSync(imagePath(rootPath), `${imagePath(rootPath)}.new`);
}

const imagePath = (rootPath: string) => theOnlyFile(path.join(rootPath, 'images'));
const recordPath = (rootPath: string) => theOnlyFile(path.join(rootPath, 'records'));

function theOnlyFile(dir: string): string {
  const [name, ...others] = readdirSync(dir);
  if (name === undefined || others.length > 0) throw new Error(`${dir} has not one file`);
  return path.join(dir, name);
}
