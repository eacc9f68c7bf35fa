const LATE_MS = 500;

/** Tells that something takes its time, unless it has ended before. Who waits for an instant has nothing to tell. */
export function onceLate(tell: () => void): Disposable {
  const timer = setTimeout(tell, LATE_MS);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
