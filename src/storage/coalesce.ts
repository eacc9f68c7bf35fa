/**
 * Calls that come while `work` runs are put together into its next run: what they get was read, or done, after they asked.
 * A run that fails fails all calls that are in it, and no other.
 */
export function coalesced<Item, Result>(
  work: (items: readonly Item[]) => Promise<Result>,
): (item: Item) => Promise<Result> {
  let running: Promise<unknown> = Promise.resolve();
  let waiting: { readonly items: Item[]; readonly result: Promise<Result> } | undefined;
  const next = (items: Item[]) => ({
    items,
    result: (async () => {
      await running.catch(() => undefined);
      waiting = undefined;
      const result = work(items);
      running = result;
      return await result;
    })(),
  });
  return (item) => {
    waiting ??= next([]);
    waiting.items.push(item);
    return waiting.result;
  };
}
