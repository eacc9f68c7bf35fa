/** Durations in milliseconds, by what they were spent on. */
export class Times {
  readonly #times = new Map<string, number[]>();

  async of<T>(what: string, work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const result = await work();
    this.#times.set(what, [...(this.#times.get(what) ?? []), performance.now() - startedAt]);
    return result;
  }

  names(): readonly string[] {
    return [...this.#times.keys()];
  }

  median(what: string): number {
    const sorted = [...(this.#times.get(what) ?? [])].sort((left, right) => left - right);
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  }
}
