import { z } from 'zod';
import { adoption } from './adoption.ts';
import { download } from './download.ts';
import { fileName, reference } from './reference.ts';
import { type CelRule, rules } from './schema.ts';

/** Where the content of a new volume comes from; nothing fills a volume that is there. */
export const volumeSource = z
  .object({
    snapshotRef: reference()
      .optional()
      .describe(
        'A committed Snapshot, in any volume and on any node: its content is received into the new file system, whose data/ is a writable snapshot of it.',
      ),
    stream: download('a btrfs send stream')
      .optional()
      .describe('A full btrfs send stream from outside; data/ is a writable snapshot of the subvolume in it.'),
    image: download('a btrfs image')
      .optional()
      .describe(
        "A whole btrfs file system on one device, from outside. It is copied and gets a UUID of its own; data/ is a writable snapshot of its default subvolume. Off unless the operator's configuration allows it.",
      ),
    adopt: adoption(
      'A volume',
      ' It stays on its node, which nodeName may name; nodeSelector is not looked at.',
    ).optional(),
  })
  .meta(
    rules({
      rule: '[has(self.snapshotRef), has(self.stream), has(self.image), has(self.adopt)].exists_one(x, x)',
      message: 'must have exactly one of snapshotRef, stream, image and adopt',
    }),
  )
  .describe(
    'Content that the volume is made with; without it the volume is empty. size has to be enough for it. Stays as it is.',
  );

export const volumeExport = z
  .object({
    file: fileName().describe('Name of the file in exports/ on the node; status.export says where it is.'),
  })
  .describe(
    'Needs mounted: false. A copy of the image for others, with a UUID of its own and data/ as its default subvolume, written once. Remove it to remove the file.',
  );

const sameSource = 'has(self.source) == has(oldSelf.source) && (!has(self.source) || self.source == oldSelf.source)';
const hasFile = (kind: string) => `(has(self.source.${kind}) && has(self.source.${kind}.file))`;

/** Rules of the spec about both. */
export const sourceRules: readonly CelRule[] = [
  {
    rule: sameSource,
    message: 'cannot be changed, added or removed; make a new volume',
    fieldPath: '.source',
  },
  {
    rule: `!has(self.source) || !(${hasFile('stream')} || ${hasFile('image')}) || has(self.nodeName)`,
    message: 'must name the node that has the file of source; set it',
    fieldPath: '.nodeName',
  },
  {
    rule: '!has(self.export) || !self.mounted',
    message: 'must come with mounted: false, so that nobody writes while it is copied',
    fieldPath: '.export',
  },
];
