import type { z } from 'zod';
import type { TermTable } from './reasons.ts';

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** 1: with `-o wide` only. */
  readonly priority?: 0 | 1;
}

/** All that a CustomResourceDefinition and a page of the API reference are made of. */
export interface KindDefinition {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly scope: 'Namespaced' | 'Cluster';
  /** The whole object: apiVersion, kind, metadata, spec, status. */
  readonly schema: z.ZodObject;
  /** What status holds until the operator writes it: a new object must never look settled. */
  readonly statusDefault: Readonly<Record<string, unknown>>;
  readonly printerColumns: readonly PrinterColumn[];
  /** JSON paths of the fields that a watch may select by. */
  readonly selectableFields: readonly string[];
  readonly conditionTypes: TermTable;
  readonly reasons: TermTable;
}

const ready = (field: string) => `.status.conditions[?(@.type=="Ready")].${field}`;

/** Columns of every kind: the first ones, the last one, and the one that is last with `-o wide`. */
export const readyColumns: readonly PrinterColumn[] = [
  { name: 'Ready', type: 'string', jsonPath: ready('status'), description: 'Whether the object is as its spec says.' },
  { name: 'Reason', type: 'string', jsonPath: ready('reason'), description: 'Why Ready is as it is.' },
];
export const ageColumn: PrinterColumn = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'Time since the object was made.',
};
export const messageColumn: PrinterColumn = {
  name: 'Message',
  type: 'string',
  jsonPath: ready('message'),
  description: 'What condition Ready says.',
  priority: 1,
};

/** Status of an object that nobody has looked at yet; tools that wait for readiness see work in progress. */
export function untouchedStatus(message: string) {
  const since = '1970-01-01T00:00:00Z';
  const ready = { type: 'Ready', status: 'Unknown', reason: 'Pending', message, lastTransitionTime: since };
  return { observedGeneration: -1, conditions: [ready] };
}
