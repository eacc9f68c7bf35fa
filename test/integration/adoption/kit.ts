import { type BtrfsNode, btrfsNodeType, type Orphan } from '../../../src/api/btrfs-node.ts';
import { type OperatorProcess, startController } from '../../cluster/processes.ts';
import type { Lab } from '../lab.ts';

export const NODE = 'node-a';

/** What tests of orphans do to one node of a lab. */
export function adoptionKit(lab: Lab, nodeName = NODE) {
  let agent: OperatorProcess | undefined;
  let { controller } = lab;
  const btrfsNode = () => lab.btrfsNodes.get(nodeName);

  const kit = {
    get controller(): OperatorProcess {
      return controller;
    },
    get agent(): OperatorProcess {
      if (agent === undefined) throw new Error('no agent was started');
      return agent;
    },
    async startAgent(flags: readonly string[] = []): Promise<void> {
      agent = await lab.startAgent(nodeName, { flags: [...flags] });
    },
    /** Does this while no agent runs, and starts the next one. */
    async withoutAgent(change: () => void | Promise<void>): Promise<void> {
      kit.agent.kill('SIGKILL');
      await kit.agent.exited;
      await change();
      await kit.startAgent();
    },
    async endOperators(): Promise<void> {
      await Promise.all([kit.agent.end(), controller.end()]);
    },
    /** Both anew, after {@link kit.endOperators}. */
    async startOperators(): Promise<void> {
      controller = startController({ kubeconfigPath: lab.kubeconfigPath, namespace: 'default', logDir: lab.dir });
      await kit.startAgent();
    },
    /** Gone from the API server, as if it had never been there; no agent may run. */
    async forget(...objects: readonly string[]): Promise<void> {
      for (const object of objects) {
        await lab.kubectl(['delete', object, '--wait=false']);
        await lab
          .kubectl(['patch', object, '--type=merge', '--patch={"metadata":{"finalizers":null}}'])
          .catch(() => '');
      }
    },
    /** What the node lists as belonging to no object, as soon as it is as `are` says. */
    async orphansThat(are: (orphans: readonly Orphan[]) => boolean, timeoutMs = 20_000): Promise<readonly Orphan[]> {
      const listed = ({ status }: BtrfsNode) => status.orphans ?? [];
      return listed(await lab.objects.that(btrfsNodeType, nodeName, (node) => are(listed(node)), timeoutMs));
    },
    /** The orphan as soon as it is listed. */
    async orphan(uid: string): Promise<Orphan> {
      const listed = await kit.orphansThat((orphans) => orphans.some((orphan) => orphan.uid === uid));
      return listed.find((orphan) => orphan.uid === uid) as Orphan;
    },
    notListed: (...uids: readonly string[]) =>
      kit.orphansThat((orphans) => !orphans.some(({ uid }) => uids.includes(uid))),
    btrfsNode,
  };
  return kit;
}

export type AdoptionKit = ReturnType<typeof adoptionKit>;
