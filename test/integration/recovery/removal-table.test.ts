import { existsSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findCondition, isNodeLost } from '../../../src/api/conditions.ts';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { keyOf } from '../../../src/kube/object.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import { namespaceType } from '../../../src/kube/resource-types.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';
import {
  type Cell,
  clientOf,
  type Fate,
  fates,
  goneNode,
  type Held,
  type Kind,
  kindNames,
  kinds,
  lostNode,
} from './removal-fates.ts';

const LEASE_FLAGS = ['--lease-seconds=2', '--renew-seconds=0.5'];
/** Orders in which the controller of namespaces may delete the kinds: each follows on each other one in one of them. */
const orders = [
  [0, 1, 3, 2],
  [1, 2, 0, 3],
  [2, 3, 1, 0],
  [3, 0, 2, 1],
].map((order) => order.flatMap((index) => kindNames[index] ?? []));
const nameOf = (order: readonly Kind[]) => order.join('-').toLowerCase();
/** What somebody has to mend is looked at again each 10 s. */
const limit = { timeoutMs: 30_000 };

let lab: Lab;
const cells = new Map<string, Cell>();

function cellOf(namespace: string): Cell {
  const cell = cells.get(namespace);
  if (cell === undefined) throw new Error(namespace);
  return cell;
}

beforeAll(async () => {
  lab = await startLab();
  const agents = new Map<string, OperatorProcess>();
  for (const nodeName of ['node-a', lostNode, goneNode]) {
    await lab.createNode(nodeName);
    const flags = nodeName === 'node-a' ? [] : LEASE_FLAGS;
    agents.set(nodeName, await lab.startAgent(nodeName, { flags }));
  }
  const make = async (namespace: string, nodeName = 'node-a') => {
    const agent = agents.get(nodeName);
    if (agent === undefined) throw new Error(nodeName);
    cells.set(namespace, { lab, namespace, agent, volume: await makeAll(namespace, nodeName) });
  };
  await Promise.all([
    ...Object.entries(fates).map(([name, { nodeName }]) => make(name, nodeName)),
    ...orders.map((order) => make(nameOf(order))),
  ]);
  for (const [name, { befall }] of Object.entries(fates)) await befall?.(cellOf(name));
  await Promise.all([
    ...Object.keys(fates).map((name) => deleteAll(name, kindNames.toReversed())),
    ...orders.map(nameOf).map((namespace) => createResourceClient(lab.transport, namespaceType).delete(namespace)),
  ]);
  for (const [name, { meanwhile }] of Object.entries(fates)) await meanwhile?.(cellOf(name));
}, 120_000);
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** A namespace with one of each kind, all Ready. */
async function makeAll(namespace: string, nodeName: string): Promise<LoopbackVolume> {
  await createResourceClient(lab.transport, namespaceType).create({ metadata: { name: namespace } });
  for (const kind of kindNames) {
    const spec = { ...kinds[kind].spec, ...(kind === 'LoopbackVolume' ? { nodeName } : {}) };
    await clientOf({ lab }, kind).create({ metadata: { namespace, name: 'x' }, spec });
  }
  const isReady = ({ status }: Held) => findCondition(status.conditions, 'Ready')?.status === 'True';
  const [volume] = await Promise.all(
    kindNames.map((kind) => lab.objects.that(kinds[kind].type as never, `${namespace}/x`, isReady, 30_000)),
  );
  return volume as unknown as LoopbackVolume;
}

async function deleteAll(namespace: string, order: readonly Kind[]): Promise<void> {
  for (const kind of order) await clientOf({ lab }, kind).delete(`${namespace}/x`);
}

/** What is still there, and what each says. */
async function leftOf(namespace: string): Promise<readonly string[]> {
  const all = await Promise.all(kindNames.map((kind) => clientOf({ lab }, kind).get(`${namespace}/x`)));
  return all.flatMap((object) => {
    if (object === undefined) return [];
    const { conditions } = object.status;
    const said = findCondition(conditions, isNodeLost(conditions) ? 'Ready' : 'Removed');
    const stalled = findCondition(conditions, 'Stalled') === undefined ? '' : 'Stalled';
    return [`${object.kind} ${keyOf(object)}: ${said?.reason} ${stalled}: ${said?.message}`];
  });
}

async function allGone(namespace: string): Promise<void> {
  await waitFor(async () => (await leftOf(namespace)).length === 0, { what: `end of ${namespace}`, ...limit }).catch(
    async (cause: unknown) => {
      throw new Error((await leftOf(namespace)).join('\n'), { cause });
    },
  );
}

describe('removal: whatever befell it, each kind goes, or says what a person has to do', () => {
  test.each(Object.entries(fates).map(([name, fate]) => [fate.rows, name, fate] as const))(
    '%s %s',
    async (_, name, fate: Fate) => {
      const { end, waits, keepsImage } = fate;
      const cell = cellOf(name);
      if (end !== undefined) {
        // What lives in it waits for nobody; the volume goes as well, or says what a person has to do.
        const isWaiting = async () => (await leftOf(name)).every((line) => line.match(waits ?? '') !== null);
        await waitFor(isWaiting, { what: `a word on ${name}`, ...limit }).catch(async (cause: unknown) => {
          throw new Error((await leftOf(name)).join('\n'), { cause });
        });
        await end(cell);
      }
      await allGone(name);
      expect(existsSync(cell.volume.status.imagePath ?? '')).toBe(keepsImage === true);
    },
  );

  test('F32 BtrfsNode: that of a node that was deleted goes as well', async () => {
    await waitFor(async () => (await lab.btrfsNodes.get(goneNode)) === undefined, { what: 'end', ...limit });
  });
});

test('F50 removal: a namespace that is deleted gets empty, whatever goes first in it', async () => {
  for (let turn = 0; turn < kindNames.length; turn++) {
    // The next kind is deleted when the operator has answered to the deletion of this one.
    await Promise.all(orders.map((order) => deleteAll(nameOf(order), order.slice(turn, turn + 1))));
    const isAnswered = async () =>
      (await Promise.all(orders.map((order) => hasAnswered(order.slice(0, turn + 1), nameOf(order))))).every(Boolean);
    await waitFor(isAnswered, { what: `answer in turn ${turn}` });
  }
  for (const order of orders) await allGone(nameOf(order));
});

/** Each is gone, or its status says that it goes. */
async function hasAnswered(order: readonly Kind[], namespace: string): Promise<boolean> {
  const all = await Promise.all(order.map((kind) => clientOf({ lab }, kind).get(`${namespace}/x`)));
  return all.every((each) => each === undefined || findCondition(each.status.conditions, 'Removed') !== undefined);
}
