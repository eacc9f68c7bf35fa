import { type CelRule, text, wholeNumber } from './schema.ts';

/** What the statuses of all kinds that live on a node have in common. */

/** Longest path that the kernel takes (PATH_MAX). */
export const PATH_MAX = 4096;

export function observedGeneration() {
  return wholeNumber()
    .min(-1)
    .optional()
    .describe(
      'The metadata.generation that the rest of status is about; -1 until the node has looked at the object for the first time.',
    );
}

export function placedNodeName() {
  return text(253).optional().describe('Node that the volume is on. Set once.');
}

/** For the status of `kind`: who is on a node stays there. */
export function nodeNameStays(kind: string): CelRule {
  return {
    rule: '!has(oldSelf.nodeName) || (has(self.nodeName) && self.nodeName == oldSelf.nodeName)',
    message: `is set once; a ${kind} stays on its node`,
    messageExpression: `"is set once; the ${kind} stays on " + oldSelf.nodeName`,
    fieldPath: '.nodeName',
  };
}
