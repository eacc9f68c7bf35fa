import type { CrashVolume } from './crash-volume.ts';
import { type Fault, type LoggedCommand, type Plan, verbOf } from './shims.ts';
import type { SupervisedAgent } from './supervised-agent.ts';

/** What is put through faults. */
export interface Subject {
  readonly agent: SupervisedAgent;
  /** Comes to rest as its objects say, no more is looked at. */
  readonly settled: () => Promise<unknown>;
  /** Comes to rest as its objects say, and from that moment everything is true: status, node and every byte. */
  readonly expectConvergence: () => Promise<void>;
}

/** One change of an object, whose commands get the faults. */
export interface Turn<S extends Subject = CrashVolume> {
  readonly name: string;
  /** Done before a turn that is to be struck. */
  readonly prepare?: (subject: S) => Promise<void>;
  readonly change: (subject: S) => Promise<void>;
  /** Verbs of which each is done for the last time before the next one is. */
  readonly order?: readonly string[];
  /** It runs the commands of another turn: only a thorough run strikes them. */
  readonly repeats?: true;
  /** It runs these commands for another purpose than other turns do: only a thorough run strikes the rest. */
  readonly news?: readonly string[];
}

/**
 * `each-verb`: commands that change something; of those that are repeated with other numbers (steps of moving data) only
 * the first, and for `kill-after` the last; `kill-before` only at the first of all, as the others are a `kill-after` of the
 * command before; and of `fail` and `lie` one each, in turns. A turn meets many of these faults on its way, one after the other.
 * `each-command`: every single one, those that only read too, each in a turn of its own.
 */
export type Thoroughness = 'each-verb' | 'each-command';

/** How many of these faults a turn meets at most: the pauses between failures double each time, who is killed forgets them. */
const AT_ONCE: Readonly<Record<Fault, number>> = { 'kill-before': 12, 'kill-after': 12, fail: 4, lie: 4 };

/** What was done to a turn. */
export interface Coverage {
  readonly turn: Pick<Turn<never>, 'name' | 'order' | 'repeats' | 'news'>;
  /** The commands of the turn when nothing goes wrong, in order. */
  readonly commands: readonly LoggedCommand[];
  readonly struck: readonly Struck[];
}

export interface Struck {
  readonly fault: Fault;
  readonly command: LoggedCommand;
}

/**
 * Goes round the turns again and again, with faults in each, until no turn has a command left to strike; after each
 * turn all has to be as the objects say. The turns together end where they begin, so that one subject serves for all.
 */
export async function strikeEveryBoundary<S extends Subject>(
  subject: S,
  turns: readonly Turn<S>[],
  faults: readonly Fault[],
  thoroughness: Thoroughness,
): Promise<readonly Coverage[]> {
  const rows: { turn: Turn<S>; commands: readonly LoggedCommand[]; struck: Struck[]; plans: Plan[] }[] = [];
  for (const turn of turns) {
    const commands = await take(subject, turn);
    const plans = plansFor(turn, commands, faults, thoroughness);
    rows.push({ turn, commands, struck: [], plans });
  }
  while (rows.some(({ plans }) => plans.length > 0)) {
    for (const { turn, plans, struck } of rows) {
      const armed = plans.splice(0, thoroughness === 'each-command' ? 1 : AT_ONCE[plans[0]?.fault ?? 'fail']);
      if (armed.length === 0) {
        await turn.change(subject);
        await subject.settled();
        continue;
      }
      const log = await take(subject, turn, armed);
      struck.push(...log.flatMap((command) => (command.fault === 'none' ? [] : [{ fault: command.fault, command }])));
      plans.unshift(...leftOf(armed, log));
    }
  }
  return rows;
}

/** What did not strike: it may have been a command that was not needed any more after what struck before it. */
function leftOf(armed: readonly Plan[], log: readonly LoggedCommand[]): readonly Plan[] {
  const met = log.filter(({ fault }) => fault !== 'none');
  const left = [...armed];
  for (const command of met) {
    const index = left.findIndex(({ fault, verb }) => fault === command.fault && verb === verbOf(command));
    if (index >= 0) left.splice(index, 1);
  }
  const [first, ...rest] = left;
  return first === undefined || met.length > 0 ? left : [...fewer(first, log), ...rest];
}

/** Where a turn did with fewer commands of a kind than the first time, the last one is struck all the same. */
function fewer(plan: Plan, log: readonly LoggedCommand[]): readonly Plan[] {
  const number = log.filter((command) => verbOf(command) === plan.verb).length;
  return number === 0 || number >= plan.number ? [] : [{ ...plan, number }];
}

function plansFor(
  turn: Coverage['turn'],
  commands: readonly LoggedCommand[],
  faults: readonly Fault[],
  thoroughness: Thoroughness,
): Plan[] {
  if (turn.repeats && thoroughness === 'each-verb') return [];
  const first = commands.find(({ kind }) => kind === 'changing');
  return faults.flatMap((fault) =>
    [...Map.groupBy(commands, verbOf)].flatMap(([verb, group], index) => {
      if (thoroughness === 'each-verb' && group[0]?.kind === 'reading') return [];
      if (thoroughness === 'each-verb' && turn.news?.includes(verb) === false) return [];
      if (thoroughness === 'each-verb' && fault === 'kill-before' && group[0] !== first) return [];
      if (thoroughness === 'each-verb' && fault === (index % 2 === 0 ? 'fail' : 'lie')) return [];
      // One that only reads and lies has failed, no more.
      if (group[0]?.kind === 'reading' && fault === 'lie') return [];
      const indices = thoroughness === 'each-command' ? [...group.keys()] : samplesOf(group, fault);
      return indices.map((index): Plan => ({ fault, verb, number: index + 1 }));
    }),
  );
}

/** The first with each set of operands, and the last to be killed after: what comes then is something else. */
function samplesOf(group: readonly LoggedCommand[], fault: Fault): readonly number[] {
  if (fault === 'kill-before') return [0];
  const texts = group.map(({ text }) => text);
  const firsts = [...texts.keys()].filter((index) => texts.indexOf(texts[index] ?? '') === index);
  return [...new Set([...firsts, ...(fault === 'kill-after' ? [group.length - 1] : [])])];
}

/** The turn is taken and the subject has come to rest as it should; the commands that it took. */
async function take<S extends Subject>(
  subject: S,
  turn: Turn<S>,
  plans: readonly Plan[] = [],
): Promise<readonly LoggedCommand[]> {
  const { shims } = subject.agent;
  await turn.prepare?.(subject);
  shims.arm(plans);
  try {
    await turn.change(subject);
    await subject.expectConvergence();
  } catch (cause) {
    const what = plans.map(({ fault, verb, number }) => `${fault} at ${verb} (${number})`).join(', ') || 'no fault';
    throw new Error(`${turn.name} with ${what} does not end as it should:\n${describeLog(shims.log())}`, { cause });
  }
  return shims.log();
}

/** Kinds of changing commands of the turn that none of these faults met. */
export function notStruck({ turn, commands, struck }: Coverage, faults: readonly Fault[]): readonly string[] {
  if (turn.repeats) return [];
  const met = new Set(struck.filter(({ fault }) => faults.includes(fault)).map(({ command }) => verbOf(command)));
  const meant = commands.filter(({ kind }) => kind === 'changing').map(verbOf);
  return [...new Set(meant)].filter((verb) => !met.has(verb) && turn.news?.includes(verb) !== false);
}

/** A line such as `shrink: 59 commands, 14 change something; struck: losetup --find (kill-after, lie), chattr +i (lie)`. */
export function describeCoverage({ turn, commands, struck }: Coverage): string {
  const changing = commands.filter(({ kind }) => kind === 'changing').length;
  const faults = Map.groupBy(struck, ({ command }) => verbOf(command));
  const parts = [...faults].map(([verb, group]) => `${verb} (${group.map(({ fault }) => fault).join(', ')})`);
  return `${turn.name}: ${commands.length} commands, ${changing} change something; struck: ${parts.join(', ') || 'none'}`;
}

/** The verbs of {@link Turn.order} in the order in which they really came, when nothing goes wrong. */
export function orderOf({ turn: { order = [] }, commands }: Coverage): readonly string[] {
  const verbs = commands.map(verbOf);
  return order.toSorted((left, right) => verbs.lastIndexOf(left) - verbs.lastIndexOf(right));
}

function describeLog(log: readonly LoggedCommand[]): string {
  return log.map(({ text, fault }) => `  ${text}${fault === 'none' ? '' : `  <- ${fault}`}`).join('\n');
}
