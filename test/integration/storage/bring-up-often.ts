import { StorageError } from '../../../src/storage/errors.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { SETTINGS, storageIn } from './store.ts';

/** Brings one volume up `times` times at once, as many agents' passes would, and prints how often it attached a loop device. */
const [dir = '', uid = '', times = '1'] = process.argv.slice(2);
let attached = 0;
const storage = storageIn(dir, {
  onCommand: ({ file, args }, outcome) => {
    if (file === 'losetup' && args.includes('--find') && !(outcome instanceof Error)) attached++;
  },
});

/** Another process may have the image's lock: then the agent would come back later. */
async function insist(): Promise<void> {
  for (;;) {
    try {
      return await bringUp(storage, uid, SETTINGS);
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'in-use') throw error;
    }
  }
}

await Promise.all(Array.from({ length: Number(times) }, insist));
console.log(attached);
