import { dataPathOf, startLab } from '../lab.ts';
import { snapshotKit } from './kit.ts';

/** A lab in which these volumes are Ready, each on the node it is given; the paths are those of the first one. */
export async function startSnapshotLab(nodeNames: Readonly<Record<string, string>> = { demo: 'node-a' }) {
  const lab = await startLab();
  try {
    const nodes = [...new Set(Object.values(nodeNames))];
    const [agent] = await Promise.all(nodes.map((nodeName) => lab.startAgent(nodeName)));
    for (const [name, nodeName] of Object.entries(nodeNames)) await lab.createVolume(name, { nodeName });
    const [volume] = await Promise.all(Object.keys(nodeNames).map((name) => lab.ready(name)));
    if (agent === undefined || volume === undefined) throw new Error('a lab of Snapshots needs a volume');
    const { mountPath: treePath = '' } = volume.status;
    return { lab, agent, snapshots: snapshotKit(lab), volume, treePath, dataPath: dataPathOf(volume) };
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
}
