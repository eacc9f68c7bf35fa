import { setTimeout as sleep } from 'node:timers/promises';
import { logTail } from '../cluster/child.ts';
import type { OperatorProcess } from '../cluster/processes.ts';
import type { Lab } from '../integration/lab.ts';
import { installShims, type Shims } from './shims.ts';

/** An agent with shims that is started again whenever it dies, as a kubelet would. */
export interface SupervisedAgent {
  readonly nodeName: string;
  readonly rootPath: string;
  readonly shims: Shims;
  /** How often it died so far. */
  readonly deaths: number;
  /** Kills it (SIGKILL) if it runs at the moment. */
  readonly kill: () => void;
  /** Stops it for good; resolves when it is gone. Throws if it could not be started again. */
  readonly stop: () => Promise<void>;
  /** Starts it anew after {@link SupervisedAgent.stop}. */
  readonly start: () => Promise<void>;
  /** The ends of the logs of the last two lives. */
  readonly logTails: () => string;
}

/** So many starts in a row that end before the agent was ready mean that it can't start. */
const STARTS_IN_VAIN = 5;

export async function startSupervisedAgent(
  lab: Lab,
  nodeName: string,
  flags: readonly string[] = [],
): Promise<SupervisedAgent> {
  const rootPath = lab.rootPath(nodeName);
  const shims = installShims(`${rootPath}-shims`);
  const lives: OperatorProcess[] = [];
  let deaths = 0;
  let stopping = false;
  let supervision: Promise<void> = Promise.resolve();

  const live = async () => {
    lives.push(await lab.startAgent(nodeName, { commandPath: shims.commandPath, flags }));
  };
  const supervise = async () => {
    for (let inVain = 0; ; ) {
      await lives.at(-1)?.exited;
      if (stopping) return;
      deaths++;
      inVain = await live().then(
        () => 0,
        async (error: unknown) => {
          if (inVain + 1 >= STARTS_IN_VAIN) throw error;
          await sleep(200);
          return inVain + 1;
        },
      );
    }
  };
  const start = async () => {
    stopping = false;
    await live();
    supervision = supervise();
    supervision.catch(() => undefined); // thrown by stop()
  };
  await start();
  return {
    nodeName,
    rootPath,
    shims,
    get deaths() {
      return deaths;
    },
    kill: () => lives.at(-1)?.kill('SIGKILL'),
    async stop() {
      stopping = true;
      await lives.at(-1)?.end(5_000);
      await supervision;
    },
    start,
    logTails: () =>
      lives
        .slice(-2)
        .map((agent) => `--- ${agent.logPath}\n${logTail(agent, 40)}`)
        .join('\n'),
  };
}
