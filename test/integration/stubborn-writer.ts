import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const SCRIPT = `
const { fstatSync, fsyncSync, openSync, readFileSync, writeSync } = require('node:fs');
const [, path, seed] = process.argv;
const block = readFileSync(0);
const fd = openSync(path, 'a');
let turn = 1 + Number(seed);
function append() {
  try {
    for (let at = fstatSync(fd).size % block.length; at < block.length; ) at += writeSync(fd, block, at);
    fsyncSync(fd);
    console.log(fstatSync(fd).size);
  } catch (error) {
    console.log(error.code);
  }
  turn = (turn * 48271) % 2147483647;
  setTimeout(append, 100 + (turn % 200));
}
append();
`;

/**
 * Someone who appends `blockBytes` to the file each 100 to 300 ms and, refused for want of space, tries again and again: without making or
 * truncating files, which would be seen.
 */
export function startStubbornWriter(path: string, { blockBytes, seed }: { blockBytes: number; seed: number }) {
  const block = randomBytes(blockBytes);
  const child = spawn(process.execPath, ['-e', SCRIPT, path, String(seed)], { stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdin.end(block);
  const lengths: number[] = [];
  const refusals: string[] = [];
  createInterface(child.stdout).on('line', (answer) => {
    if (/^\d+$/.test(answer)) lengths.push(Number(answer));
    else refusals.push(answer);
  });
  return {
    /** Lengths of the file that were on disk. */
    lengths,
    /** Codes of errors. */
    refusals,
    /** True if the file begins with all that was on disk. */
    hasAll: () => {
      const length = lengths.at(-1) ?? 0;
      const content = readFileSync(path).subarray(0, length);
      const blocks = Buffer.concat(Array.from({ length: Math.ceil(length / blockBytes) }, () => block));
      return content.equals(blocks.subarray(0, length));
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}
