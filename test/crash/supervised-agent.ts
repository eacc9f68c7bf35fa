import { setTimeout as sleep } from 'node:timers/promises';
import { logTail } from '../cluster/child.ts';
import type { OperatorProcess } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait-for.ts';
import type { Lab } from '../integration/lab.ts';
import { installShims, type Shims } from './shims.ts';

/** An agent with shims that is started again whenever it dies, as a kubelet would. */
export interface SupervisedAgent {
  readonly nodeName: string;
  readonly rootPath: string;
  readonly shims: Shims;
  /** How often it died so far. */
  readonly deaths: number;
  /** Kills it (SIGKILL) when it has been ready for so long. */
  readonly killAfter: (ms: number) => Promise<void>;
  /** Stops it for good; resolves when it is gone. Throws if it could not be started again after a death. */
  readonly stop: () => Promise<void>;
  /** The ends of the logs of the last two lives. */
  readonly logTails: () => string;
}

const STOP_MS = 5_000;
/** So many starts in a row that end before the agent was ready mean that it can't start: turns kill it a dozen times each. */
const STARTS_IN_VAIN = 100;

/** Resolves when it is ready for the first time. `whileDead` runs after each death, before it is started again. */
export async function startSupervisedAgent(
  lab: Lab,
  nodeName: string,
  whileDead: () => void = () => undefined,
): Promise<SupervisedAgent> {
  const rootPath = lab.rootPath(nodeName);
  const shims = installShims(`${rootPath}-shims`);
  const lives: OperatorProcess[] = [];
  let deaths = 0;
  let stopping = false;

  const live = async () => {
    lives.push(await lab.startAgent(nodeName, { commandPath: shims.commandPath }));
  };
  const liveAgain = async () => {
    for (let startsInVain = 0; ; ) {
      try {
        return await live();
      } catch (error) {
        if (++startsInVain >= STARTS_IN_VAIN) throw error;
        await sleep(200);
      }
    }
  };
  const supervise = async () => {
    for (;;) {
      await lives.at(-1)?.exited;
      if (stopping) return;
      deaths++;
      whileDead();
      await liveAgain();
      if (stopping) await lives.at(-1)?.end(STOP_MS);
    }
  };
  await live();
  const supervision = supervise();
  supervision.catch(() => undefined); // thrown by stop()
  return {
    nodeName,
    rootPath,
    shims,
    get deaths() {
      return deaths;
    },
    async killAfter(ms) {
      const agent = await waitFor(() => (lives.length > deaths ? lives.at(-1) : undefined), {
        what: 'agent',
        timeoutMs: 30_000,
      });
      await sleep(ms);
      agent.kill('SIGKILL');
      await agent.exited;
    },
    async stop() {
      stopping = true;
      await lives.at(-1)?.end(STOP_MS);
      await supervision;
    },
    logTails: () =>
      lives
        .slice(-2)
        .map((agent) => `--- ${agent.logPath}\n${logTail(agent, 40)}`)
        .join('\n'),
  };
}
