import { z } from 'zod';
import { parsePrefix } from './net/download-url.ts';
import { bytes } from './quantity-settings.ts';
import { flag, optionalPath, seconds } from './runtime/setting-kinds.ts';
import { type Kind, setting } from './runtime/settings.ts';

const httpsPrefixes: Kind<readonly URL[]> = {
  schema: z.string().transform((text, context) => {
    try {
      return text.split(/[\s,]+/).flatMap((prefix) => (prefix === '' ? [] : parsePrefix(prefix)));
    } catch {
      context.addIssue('not a list of prefixes');
      return z.NEVER;
    }
  }),
  allowed: 'https addresses without credentials, query and fragment, separated by commas',
};

/** What an agent takes from outside of the cluster: from where, how much, and what send streams may hold. */
export const agentContentSettings = {
  downloadAllowedPrefixes: setting(
    httpsPrefixes,
    '',
    'Where sources may be downloaded from: the address itself and all that begins with it and a slash. None: nothing is.',
  ),
  downloadMaxBytes: setting(bytes, '64Gi', 'Most that one download may have.'),
  downloadIdleSeconds: setting(seconds(0.2, 3600), '30', 'A download is broken off when nothing came for so long.'),
  downloadCaFile: setting(
    optionalPath,
    '',
    'File with certificates (PEM) of authorities that downloads trust besides the public ones and those of the system.',
  ),
  downloadAllowPrivateAddresses: setting(
    flag,
    'Off',
    'On: downloads may come from private and local addresses as well. A prefix then says how far they reach into the network of the node.',
  ),
  streamAllowDeviceNodes: setting(
    flag,
    'Off',
    'On: streams from outside of the node may make device nodes. Whoever makes one in a volume has that device where it is mounted with dev.',
  ),
  streamAllowSetuid: setting(
    flag,
    'Off',
    'On: streams from outside of the node may bring setuid and setgid files and file capabilities.',
  ),
  imageSources: setting(
    flag,
    'Off',
    'On: volumes may be made of btrfs images from outside of the node, which the kernel mounts as they are.',
  ),
};
