import { writeSync } from 'node:fs';
import { layoutOf } from '../../../src/storage/layout.ts';
import { loadRecord, saveRecord } from '../../../src/storage/records.ts';

/** Saves the record of `uid` again and again, each time with a larger size, and prints the size once it is saved: a victim for kill -9. */
const [rootPath = '', uid = ''] = process.argv.slice(2);
const layout = layoutOf(rootPath);
const record = await loadRecord(layout, uid);
if (record === undefined) throw new Error('no record to begin with');
for (let { sizeBytes } = record; ; sizeBytes++) {
  await saveRecord(layout, { ...record, sizeBytes });
  writeSync(1, `${sizeBytes}\n`);
}
