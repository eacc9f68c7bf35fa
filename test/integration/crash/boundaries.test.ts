import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FaultSeries, notStruck, strikeEveryBoundary } from '../../crash/boundaries.ts';
import { CrashVolume } from '../../crash/crash-volume.ts';
import { roundTrips } from '../../crash/round-trips.ts';
import { startSupervisedAgent } from '../../crash/supervised-agent.ts';
import { type Lab, startLab } from '../lab.ts';

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

/** `make chaos` has those at commands that only read, too. */
const series: readonly FaultSeries[] = [
  { fault: 'kill-before', among: 'all', upTo: 1 },
  { fault: 'kill-after', among: 'changing' },
  { fault: 'fail', among: 'changing' },
  { fault: 'lie', among: 'changing' },
];

describe.concurrent('A19 LoopbackVolume: the agent is killed, refused or lied to at each command that changes something', () => {
  it.for(roundTrips)('$name: comes by itself to where its object says, nothing lost and nothing left', {timeout: 400_000}, async ({ name, spec, turns }, { onTestFailed }) => {
    const id = name.replaceAll(' ', '-');
    const agent = await startSupervisedAgent(lab, `node-${id}`);
    onTestFailed(() => console.error(agent.logTails()));
    const volume = new CrashVolume(lab, agent, id);
    if (spec !== undefined) {
      await volume.create(spec);
      await volume.converged();
      await volume.fill();
    }
    const from = performance.now();
    const coverage = await strikeEveryBoundary(volume, turns, series);
    await agent.stop();
    for (const turn of coverage) {
      console.log(`${turn.turn}: ${turn.commands.length} commands, ${turn.struck.length} faults: ${turn.commands.map((c) => `${c.kind === 'reading' ? '(' : ''}${c.text}${c.kind === 'reading' ? ')' : ''}`).join('; ')}`);
      for (const one of series.filter(({ among }) => among === 'changing')) expect(notStruck(turn, one)).toEqual([]);
    }
    console.log(name, agent.deaths, 'deaths', Math.round(performance.now() - from), 'ms');
  });
});
