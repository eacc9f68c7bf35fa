/** The lines of the performance tables. */
export function row(what: string, ...cells: readonly string[]): void {
  console.log(what.padEnd(56) + cells.map((cell) => cell.padStart(12)).join(''));
}

export function heading(what: string): void {
  row(`\n${what}`, 'raw', 'operator', 'ratio', 'difference');
}

/** One comparison of durations. */
export function compare(what: string, rawMs: number, oursMs: number): void {
  row(
    what,
    `${rawMs.toFixed(0)} ms`,
    `${oursMs.toFixed(0)} ms`,
    (oursMs / rawMs).toFixed(2),
    `${(oursMs - rawMs).toFixed(0)} ms`,
  );
}

export function names(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
}
