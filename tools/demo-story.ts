import { cacheChapters } from './demo-caches.ts';
import { snapshotChapters } from './demo-snapshots.ts';
import type { LocalCluster } from './local-cluster.ts';
import type { Narrator } from './narrator.ts';

/** The life of a volume, its Snapshots and a cache from apply to delete, on a running cluster. Throws when something is not as it tells. */
export async function tellStory(cluster: LocalCluster, narrator: Narrator): Promise<void> {
  for (const chapter of [
    lookAround,
    create,
    use,
    grow,
    ...snapshotChapters,
    ...cacheChapters,
    minimize,
    unmount,
    refuse,
    remove,
  ]) {
    await chapter({ cluster, ...narrator });
  }
}

export interface Chapter extends Narrator {
  readonly cluster: LocalCluster;
}

async function lookAround({ step, show }: Chapter): Promise<void> {
  step(
    'What is there',
    'The agent of each node reports what the node offers in an object of kind BtrfsNode, made and kept by it.',
  );
  await show('kubectl wait --for=condition=Ready btrfsnode --all --timeout=60s');
  await show('kubectl get btrfsnodes');
}

async function create({ step, show }: Chapter): Promise<void> {
  step('A volume', 'A LoopbackVolume is a file on a node, formatted as btrfs and mounted. Its size is a hard limit.');
  await show("grep -v '^#' examples/loopback-volume.yaml");
  await show('kubectl apply -f examples/loopback-volume.yaml');
  await show('kubectl wait --for=condition=Ready lbv/demo --timeout=60s');
  await show('kubectl get lbv');
  await show('kubectl get lbv demo -o wide');
  await show('kubectl describe lbv demo | sed -n "/^Status:/,$ p"', { maxLines: 70 });
}

async function use({ step, show, say }: Chapter): Promise<void> {
  step('What it is on the node', 'A real mount of a real loop device; status says where.');
  await show('mount=$(kubectl get lbv demo -o jsonpath={.status.mountPath}); findmnt --mountpoint "$mount"');
  say('\nSomething to keep: 200 MiB of random bytes, in the directory that a pod would see.');
  await show(`data=$(kubectl get lbv demo -o jsonpath={.status.mountPath})/data
  head -c 200M /dev/urandom > "$data/file" && sha256sum "$data/file" | tee "$data/file.sha256"
  sync -f "$data"`);
  say('\nThe image is sparse: on the node it takes what was written, not its size.');
  await show('image=$(kubectl get lbv demo -o jsonpath={.status.imagePath}); ls -lsh "$image"');
}

async function grow({ step, show }: Chapter): Promise<void> {
  step('Grow it, while it is in use', 'One changes the size, and that is all.');
  await show(`kubectl patch lbv demo --type=merge --patch '{"spec": {"size": "2Gi"}}'`);
  await show("kubectl wait --for=jsonpath='{.status.sizeBytes}'=2147483648 lbv/demo --timeout=60s");
  await show('df -h "$(kubectl get lbv demo -o jsonpath={.status.mountPath})"');
}

async function minimize({ step, show }: Chapter): Promise<void> {
  step(
    'Minimize it',
    'With spec.minimize the volume is shrunk to what its data needs, plus headroom: for what is filled once and then kept.',
  );
  await show(`kubectl patch lbv demo --type=merge --patch '{"spec": {"minimize": {"headroom": "64Mi"}}}'`);
  await show("kubectl wait --for=jsonpath='{.status.minimized}' lbv/demo --timeout=120s");
  await show('kubectl get lbv demo -o jsonpath=\'size {.status.sizeBytes} used {.status.usedBytes} bytes{"\\n"}\'');
  await show('df -h "$(kubectl get lbv demo -o jsonpath={.status.mountPath})"');
  await show('cd "$(kubectl get lbv demo -o jsonpath={.status.mountPath})" && sha256sum --check data/file.sha256');
}

async function unmount({ step, show }: Chapter): Promise<void> {
  step(
    'Put it away and take it out again',
    'With mounted: false nothing of it is attached or mounted; the image stays.',
  );
  await show(`kubectl patch lbv demo --type=merge --patch '{"spec": {"mounted": false}}'`);
  await show('kubectl wait --for=condition=Mounted=False lbv/demo --timeout=60s');
  await show(
    'image=$(kubectl get lbv demo -o jsonpath={.status.imagePath}); ls -lsh "$image"; losetup -j "$image" | grep . || echo not attached',
  );
  await show(`kubectl patch lbv demo --type=merge --patch '{"spec": {"mounted": true}}'`);
  await show('kubectl wait --for=condition=Mounted=True lbv/demo --timeout=60s');
  await show('cd "$(kubectl get lbv demo -o jsonpath={.status.mountPath})" && sha256sum --check data/file.sha256');
}

async function refuse({ step, show }: Chapter): Promise<void> {
  step('What can not be is refused at once', 'The API server says what is wrong, before anything happens on a node.');
  await show(`kubectl patch lbv demo --type=merge --patch '{"spec": {"size": "64Mi"}}'`, { expect: 'failure' });
  await show(`sed 's/name: demo/name: typo/; s/size:/sice:/' examples/loopback-volume.yaml | kubectl apply -f -`, {
    expect: 'failure',
  });
  await show('kubectl explain lbv.spec.minimize', { maxLines: 25 });
}

async function remove({ step, show, cluster }: Chapter): Promise<void> {
  step(
    'Delete it',
    'The volume is unmounted, detached and removed, then the object goes: nothing is left on the node.',
  );
  await show(
    'kubectl get events --sort-by=.metadata.creationTimestamp -o custom-columns=REASON:.reason,MESSAGE:.message',
  );
  await show('kubectl delete lbv demo');
  const nodesPath = cluster.rootPathOf('');
  await show(`findmnt --list --output TARGET,SOURCE | grep -F '${nodesPath}' || echo 'no mount'
  losetup --list --output NAME,BACK-FILE | grep -F '${nodesPath}' || echo 'no loop device'
  find '${nodesPath}' -name '*.img' | grep . || echo 'no image'`);
}
