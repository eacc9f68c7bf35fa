import { diskBytes, endOf, type Layout, usedOf, usedOnDisk } from './compact-layout.ts';
import { type History, type MovingStep, stepKey } from './compact-step.ts';

/** A run may write this many times what is in use: it ends on any content. */
const BUDGET = 6;
/** What a small filesystem may write in any case. */
const SMALLEST_BUDGET_BYTES = 256 * 1024 * 1024;

/** What a run learns as it goes; it starts with nothing, also after an interrupted one. */
export class CompactHistory implements History {
  readonly failed = new Map<string, number>();
  readonly longestExtents = new Map<number, number>();
  movesInVain = 0;
  movedBytes = 0;
  cleanerPauses = 0;
  /** A step was put off, or found its place taken, because files are written. */
  heldUp = false;
  rewriteBelow: number | undefined;
  mayRewrite = true;
  /** Somebody wrote meanwhile, and may do so again though it looks quiet. */
  sawWriter = false;
  #budgetBytes: number | undefined;
  #lowest = { endBytes: Number.POSITIVE_INFINITY, allocatedBytes: Number.POSITIVE_INFINITY };
  #previousEndBytes = Number.POSITIVE_INFINITY;
  #dataBytes: number | undefined;
  #moved = false;

  get budgetSpent(): boolean {
    return this.#budgetBytes !== undefined && this.movedBytes > this.#budgetBytes;
  }

  /** Takes note of how things are after a step. */
  observe(layout: Layout): void {
    this.#budgetBytes ??= Math.max(BUDGET * usedOnDisk(layout), SMALLEST_BUDGET_BYTES);
    const endBytes = endOf(layout);
    const allocatedBytes = layout.chunks.reduce((sum, chunk) => sum + diskBytes(chunk), 0);
    const lowest = this.#lowest;
    if (endBytes < lowest.endBytes || (endBytes === lowest.endBytes && allocatedBytes < lowest.allocatedBytes)) {
      this.#lowest = { endBytes, allocatedBytes };
      this.movesInVain = 0;
    } else if (this.#moved && endBytes >= this.#previousEndBytes) {
      this.movesInVain++;
    }
    this.#previousEndBytes = endBytes;
    // Moving changes nothing in how much there is.
    const dataBytes = usedOf(layout, 'data');
    if (this.#dataBytes !== undefined && this.#dataBytes !== dataBytes) this.sawWriter = true;
    this.#dataBytes = dataBytes;
    this.#moved = false;
  }

  /** Takes note that a step is carried out, whether it succeeds or not. */
  begin(step: MovingStep, layout: Layout): void {
    this.movedBytes += step.chunk.usedBytes;
    this.#moved = step.kind !== 'drop' && step.kind !== 'rewrite';
    if (step.kind === 'rewrite' && this.rewriteBelow === undefined) {
      this.rewriteBelow = Math.max(...layout.chunks.map((chunk) => chunk.logicalStart + chunk.lengthBytes));
      this.movesInVain = 0;
    }
    if (step.kind === 'resettle') this.failed.set(stepKey(step), step.roomBytes);
  }

  /** Takes note that a step is left out because files are written. */
  putOff(step: MovingStep): void {
    if (step.alone) this.heldUp = true;
    if (step.kind === 'rewrite') this.mayRewrite = false;
    this.fail(step);
  }

  fail(step: MovingStep): void {
    this.failed.set(stepKey(step), step.roomBytes);
  }
}
