import type { CrashVolume } from './crash-volume.ts';
import type { LoggedCommand, Plan } from './shims.ts';

/** One change of a volume's object, whose commands get the faults. */
export interface Turn {
  readonly name: string;
  /** Done before, without faults. */
  readonly prepare?: (volume: CrashVolume) => Promise<void>;
  readonly change: (volume: CrashVolume) => Promise<void>;
}

/** Which faults a run makes: one at each command of that kind, or only at the first `upTo`. */
export interface FaultSeries extends Pick<Plan, 'fault' | 'among'> {
  readonly upTo?: number;
}

/** What was done to which turn of a round trip. */
export interface Coverage {
  readonly turn: string;
  /** The commands of the turn when nothing goes wrong, in order. */
  readonly commands: readonly LoggedCommand[];
  readonly struck: readonly (Plan & { readonly command: string })[];
}

/**
 * Goes round the turns again and again, with one fault in each turn, until no turn has a command left to strike; after each
 * turn the volume has to be as its object says. The turns together end where they begin, so that one volume serves for all.
 */
export async function strikeEveryBoundary(
  volume: CrashVolume,
  turns: readonly Turn[],
  series: readonly FaultSeries[],
): Promise<readonly Coverage[]> {
  const coverage: (Coverage & { struck: (Plan & { command: string })[] })[] = [];
  for (const turn of turns) {
    const { log } = await take(volume, turn);
    coverage.push({ turn: turn.name, commands: log, struck: [] });
  }
  for (const { fault, among, upTo = Number.POSITIVE_INFINITY } of series) {
    const exhausted = new Set<string>();
    for (let number = 1; number <= upTo && exhausted.size < turns.length; number++) {
      for (const [index, turn] of turns.entries()) {
        const plan = exhausted.has(turn.name) ? undefined : { fault, among, number };
        const { command } = await take(volume, turn, plan);
        if (plan === undefined) continue;
        if (command === undefined) exhausted.add(turn.name);
        else coverage[index]?.struck.push({ ...plan, command });
      }
    }
  }
  return coverage;
}

/** The turn is taken and the volume has come to rest; `command` is the one that was struck. */
async function take(
  volume: CrashVolume,
  turn: Turn,
  plan?: Plan,
): Promise<{ log: readonly LoggedCommand[]; command: string | undefined }> {
  const { shims } = volume.agent;
  await turn.prepare?.(volume);
  shims.arm(plan);
  try {
    await turn.change(volume);
    await volume.converged();
  } catch (cause) {
    const struck = shims.log().find(({ fault }) => fault !== 'none');
    const what =
      plan === undefined
        ? 'without a fault'
        : `with ${plan.fault} at ${struck?.text ?? `${plan.among} command ${plan.number}`}`;
    throw new Error(`${turn.name} ${what} does not end as it should:\n${describe(shims.log())}`, { cause });
  }
  const log = shims.log();
  return { log, command: log.find(({ fault }) => fault !== 'none')?.text };
}

/** Commands of the turn, without faults, that no fault of the series struck, as a list of texts. */
export function notStruck({ commands, struck }: Coverage, { fault, among }: FaultSeries): readonly string[] {
  const hit = new Set(struck.filter((one) => one.fault === fault && one.among === among).map((one) => one.command));
  const meant = commands.filter(({ kind }) => among === 'all' || kind === 'changing').map(({ text }) => text);
  return [...new Set(meant)].filter((text) => !hit.has(text));
}

function describe(log: readonly LoggedCommand[]): string {
  return log.map(({ text, fault }) => `  ${text}${fault === 'none' ? '' : `  <- ${fault}`}`).join('\n');
}
