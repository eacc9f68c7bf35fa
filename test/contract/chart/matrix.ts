import { table } from '../../../tools/markdown.ts';

/** Whether something may be done; `policy`: a role allows it, and an admission policy does not. */
export type Answer = 'yes' | 'no' | 'policy';

export interface Row {
  readonly verb: string;
  readonly object: string;
  readonly answers: readonly Answer[];
}

/** Rows with the same answers become one: first the verbs of an object, then objects with the same verbs. */
export function matrixTable(askers: readonly string[], rows: readonly Row[]): string {
  const byObject = merged(rows, ({ object }) => object, 'verb');
  const byVerbs = merged(byObject, ({ verb }) => verb, 'object');
  return table(
    ['Object', 'Verbs', ...askers],
    byVerbs.map(({ object, verb, answers }) => [object, verb, ...answers.map((answer) => SHOWN[answer])]),
  );
}

const SHOWN: Readonly<Record<Answer, string>> = { yes: '**yes**', no: '–', policy: 'policy' };

function merged(rows: readonly Row[], keyOf: (row: Row) => string, field: 'verb' | 'object'): Row[] {
  const groups = Map.groupBy(rows, (row) => `${keyOf(row)} ${row.answers.join()}`);
  return [...groups.values()].flatMap(([first, ...others]) => {
    if (first === undefined) return [];
    return [{ ...first, [field]: [first, ...others].map((row) => row[field]).join(', ') }];
  });
}
