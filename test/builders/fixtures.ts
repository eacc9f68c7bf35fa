import { readFileSync } from 'node:fs';
import path from 'node:path';

const fixturesPath = path.resolve(import.meta.dirname, '../fixtures');

/** What a tool or the kernel printed, as it was captured: `<tool>-<version>-<case>`. */
export function fixture(name: string): Buffer {
  return readFileSync(path.join(fixturesPath, name));
}

export function textFixture(name: string): string {
  return fixture(name).toString('utf8');
}
