import { z } from 'zod';
import { parseQuantity } from './api/quantity.ts';
import type { Kind } from './runtime/settings.ts';

/** A quantity in bytes. */
export const bytes: Kind<number> = {
  schema: z.string().transform((value, context) => {
    try {
      return parseQuantity(value);
    } catch {
      context.addIssue('not a quantity');
      return z.NEVER;
    }
  }),
  allowed: 'a quantity such as 2Gi',
};

/** A quantity in bytes, or `undefined` for the word that stands in its place. */
export function bytesOr(word: string): Kind<number | undefined> {
  const schema = z.union([z.literal(word).transform(() => undefined), bytes.schema]);
  return { schema, allowed: `${bytes.allowed}, or ${word}` };
}
