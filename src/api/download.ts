import { z } from 'zod';
import { fileName } from './reference.ts';
import { matching, rules, text } from './schema.ts';

const SHA256 = /^[0-9a-f]{64}$/;

/** Digest of a file, as sha256sum(1) prints it. */
function sha256() {
  return matching(SHA256, 64, 'must be the 64 hexadecimal digits that sha256sum prints');
}

/** Content that comes from outside: of a URL, or of a file that the administrator of the node put there. */
export function download(what: string) {
  return z
    .object({
      url: text(2048)
        .optional()
        .describe(
          `https address of ${what}, under a prefix that the operator's configuration allows (none by default); needs sha256.`,
        ),
      file: fileName()
        .optional()
        .describe(
          `Name of ${what} in imports/<namespace>/ below the root directory of the operator on the node, where its administrator put it.`,
        ),
      sha256: sha256().optional().describe('Digest that the content must have, as sha256sum prints it.'),
    })
    .meta(
      rules(
        {
          rule: 'has(self.url) != has(self.file)',
          message: 'must have either url or file',
        },
        {
          rule: '!has(self.url) || has(self.sha256)',
          message: 'must have sha256 with a url, so that nothing else is taken for it',
        },
        {
          rule: "!has(self.url) || self.url.startsWith('https://')",
          message: 'must begin with https://',
          messageExpression: `"must begin with https://; got " + self.url`,
          fieldPath: '.url',
        },
      ),
    )
    .describe(`${what.charAt(0).toUpperCase()}${what.slice(1)} from outside the cluster.`);
}

export type Download = z.infer<ReturnType<typeof download>>;
