import { z } from 'zod';
import { matching, wholeNumber } from './schema.ts';

const MODE = /^0?[0-7]{3}$/;
/** Linux's largest usable uid and gid; 4294967295 means "no change" to chown(2). */
const MAX_ID = 4294967294;

/** To whom a top directory belongs, and who may enter it; `what` names the directory. */
export function owner(what: string) {
  const id = (who: string) =>
    wholeNumber().min(0).max(MAX_ID).default(0).describe(`Numeric ${who} that ${what} belongs to.`);
  return z.object({
    uid: id('user'),
    gid: id('group'),
    mode: matching(
      MODE,
      16,
      'must be three octal digits in quotes such as "0755"; setuid, setgid and sticky bits are refused',
    )
      .default('0755')
      .describe(
        `Permissions of ${what}: octal digits in quotes, such as "0755". In YAML an unquoted 0755 is the number 493 and refused.`,
      ),
  });
}
