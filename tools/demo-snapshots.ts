import type { Chapter } from './demo-story.ts';

const pathOf = (name: string) => `$(kubectl get bsnap ${name} -o jsonpath={.status.path})`;

/** Snapshots of the volume `demo`, from the first to their end. */
export const snapshotChapters: readonly ((chapter: Chapter) => Promise<void>)[] = [
  snapshot,
  build,
  exportStreams,
  transfer,
  removeSnapshots,
];

async function snapshot({ step, show }: Chapter): Promise<void> {
  step('A snapshot', 'The data as it is now, read-only, in milliseconds: nothing is copied.');
  await show("grep -v '^#' examples/snapshot.yaml");
  await show('kubectl apply -f examples/snapshot.yaml');
  await show('kubectl wait --for=condition=Ready bsnap/demo-1 --timeout=60s');
  await show(`ls -l "${pathOf('demo-1')}"`);
  await show(`touch "${pathOf('demo-1')}/new"`, { expect: 'failure' });
}

async function build({ step, show, say }: Chapter): Promise<void> {
  step('A child of it, to work in', 'A writable copy-on-write child: what a build job would get.');
  await show('kubectl apply -f examples/snapshot-build.yaml');
  await show('kubectl wait --for=condition=Ready bsnap/build --timeout=60s');
  await show(`echo 'built on top' > "${pathOf('build')}/result"`);
  say('\nThe work is good: commit it. From now on it is read-only, for ever, and may have children of its own.');
  await show(`kubectl patch bsnap build --type=merge --patch '{"spec": {"access": "ReadOnly"}}'`);
  await show('kubectl wait --for=condition=Committed bsnap/build --timeout=60s');
  await show(`kubectl patch bsnap build --type=merge --patch '{"spec": {"access": "ReadWrite"}}'`, {
    expect: 'failure',
  });
  await show('kubectl get bsnap');
}

async function exportStreams({ step, show }: Chapter): Promise<void> {
  step('Take it elsewhere', 'Send streams as files on the node: all of a Snapshot, and the difference to another.');
  await show('kubectl apply -f examples/snapshot-export.yaml');
  await show('kubectl wait --for=condition=Exported bsnap/demo-2 --timeout=120s');
  await show(
    `kubectl get bsnap demo-2 -o jsonpath='{range .status.exports[*]}{.name}{"\\t"}{.bytes}{" bytes\\t"}{.sha256}{"\\n"}{end}'`,
  );
}

async function transfer({ step, show }: Chapter): Promise<void> {
  step(
    'To another node',
    'The agents send to each other over mutual TLS: first all of it, then only the difference to what is there.',
  );
  await show(
    "sed 's/name: build-there/name: demo-1-there/; s/name: build$/name: demo-1/' examples/snapshot-transfer.yaml | kubectl apply -f -",
  );
  await show('kubectl wait --for=condition=Ready bsnap/demo-1-there --timeout=120s');
  await show('kubectl apply -f examples/snapshot-transfer.yaml');
  await show('kubectl wait --for=condition=Ready bsnap/build-there --timeout=120s');
  await show(
    `kubectl get bsnap demo-1-there build-there -o custom-columns='NAME:.metadata.name,NODE:.status.nodeName,BYTES:.status.transfer.bytes,HOW:.status.transfer.why'`,
  );
  await show(
    `cat "${pathOf('build-there')}/result"; cmp "${pathOf('build-there')}/file" "${pathOf('build')}/file" && echo 'identical to the byte'`,
  );
}

async function removeSnapshots({ step, show }: Chapter): Promise<void> {
  step(
    'What has children waits',
    'A Snapshot with children is not deleted before them, nor a volume before its Snapshots.',
  );
  await show('kubectl delete bsnap demo-1 --wait=false');
  await show(
    'kubectl wait --for=jsonpath=\'{.status.conditions[?(@.type=="Removed")].reason}\'=HasChildren bsnap/demo-1',
  );
  await show('kubectl get bsnap demo-1 -o jsonpath=\'{.status.conditions[?(@.type=="Removed")].message}{"\\n"}\'');
  await show('kubectl delete bsnap --all --timeout=60s');
  await show('kubectl delete lbv there --timeout=60s');
}
