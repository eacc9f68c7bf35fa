/** A small change of src that breaks a promise, and the test that must fail with it: `make guards` tries each. */
export interface Guard {
  /** Ids of rows (`A19`), or a rule of how data is kept safe in a few words. */
  readonly promise: string;
  /** What is wrong with the change: completes "it would be bad if …". */
  readonly breaks: string;
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly from: string;
  readonly to: string;
  /** Test file; its folder below test/ is the project. */
  readonly test: string;
  /** Part of the test's title, for files that take long. */
  readonly title?: string;
}

/** Why a guard can't be tried on this text of its file; undefined = it can. */
export function complaintOf({ file, from, to }: Guard, text: string): string | undefined {
  const times = text.split(from).length - 1;
  if (times !== 1) return `${file} has this ${times} times instead of once: ${from}`;
  return from === to ? `${file} is not changed by it: ${from}` : undefined;
}
