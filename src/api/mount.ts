import { z } from 'zod';
import { atomicList, text } from './schema.ts';

/** What mount(8) needs for one subvolume; `what` names the thing. */
export function subvolumeMount(what: string) {
  return z
    .object({
      device: text(64).describe('Block device of the volume on the node.'),
      fsType: text(16).describe('Type for mount(8): btrfs.'),
      options: atomicList(text(64), 8).describe('Options for mount(8), such as subvolid=257 and ro.'),
    })
    .describe(`How the ${what} is mounted by hand on the node: mount -t fsType -o options device directory.`);
}
