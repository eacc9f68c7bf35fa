import { Gauge, type Registry } from 'prom-client';

/** One series: its labels and its value. */
export type Sample<Label extends string> = readonly [labels: Readonly<Record<Label, string>>, value: number];

export interface ScrapedGauge<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  /** What is so now, from what the process knows anyway. */
  readonly read: () => Iterable<Sample<Label>>;
}

/** Adds a gauge that is made anew for each scrape: it never shows what there is no more. One that can't be read is left out alone. */
export function addScrapedGauge<Label extends string = never>(
  registry: Registry,
  { name, help, labelNames, read }: ScrapedGauge<Label>,
): void {
  new Gauge({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      // A gauge without labels is 0 after a reset, which may not be so.
      if (labelNames.length === 0) this.remove({});
      try {
        for (const [labels, value] of read()) this.set(labels, value);
      } catch {
        // Half of the series would be taken for all of them.
        this.reset();
        if (labelNames.length === 0) this.remove({});
      }
    },
  });
}
