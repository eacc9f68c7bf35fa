import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const repositoryPath = path.resolve(import.meta.dirname, '../../..');

/** The one room that starts processes says of each command `file: 'name'`. */
function commandsOfHost(): string[] {
  const dir = path.join(repositoryPath, 'src/host');
  const texts = readdirSync(dir).map((file) => readFileSync(path.join(dir, file), 'utf8'));
  return texts.flatMap((text) => [...text.matchAll(/\bfile: '([^']+)'/g)].map(([, name = '']) => name));
}

/** Rows of the table under the heading `| Command |` in docs/operations.md. */
function documentedCommands(): string[] {
  const text = readFileSync(path.join(repositoryPath, 'docs/operations.md'), 'utf8');
  const table = text.split('| Command | For what |\n|---|---|\n')[1]?.split('\n\n')[0] ?? '';
  return table
    .split('\n')
    .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

it('B4 docs/operations.md: names every command that the agent runs, and no other', () => {
  const commands = [...new Set(commandsOfHost())].toSorted();
  expect(commands).toEqual(expect.arrayContaining(['btrfs', 'losetup', 'mkfs.btrfs', 'mount']));
  expect(documentedCommands().toSorted()).toEqual(commands);
});
