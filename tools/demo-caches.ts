import type { Chapter } from './demo-story.ts';

const pathOf = (name: string) => `$(kubectl get bclaim ${name} -o jsonpath={.status.path})`;
const claim = (name: string) =>
  name === 'job-1'
    ? 'kubectl apply -f examples/build-cache-claim.yaml'
    : `sed 's/name: job-1/name: ${name}/' examples/build-cache-claim.yaml | kubectl apply -f -`;

/** A BuildCache and the jobs that race on it, from the first to the end. */
export const cacheChapters: readonly ((chapter: Chapter) => Promise<void>)[] = [makeCache, race, next, removeCache];

async function makeCache({ step, show, say }: Chapter): Promise<void> {
  step(
    'A cache for builds',
    'A BuildCache is a row of numbered, read-only generations. Every job gets a private writable clone of the newest one.',
  );
  await show("grep -v '^#' examples/build-cache.yaml");
  await show('kubectl apply -f examples/build-cache.yaml');
  await show('kubectl wait --for=condition=Ready bcache/npm --timeout=60s');
  say('\nThe first job finds nothing, and fills it: 2,000 packages.');
  await show(claim('job-0'));
  await show('kubectl wait --for=condition=Ready bclaim/job-0 --timeout=60s');
  await show(`cd "${pathOf('job-0')}" && mkdir node_modules && cd node_modules
  for package in $(seq 2000); do echo "package $package" > "package-$package"; done; ls | wc -l`);
  await show(`kubectl patch bclaim job-0 --type=merge --patch '{"spec": {"release": "Publish"}}'`);
  await show('kubectl wait --for=condition=Released bclaim/job-0 --timeout=60s');
  await show("kubectl wait --for=jsonpath='{.status.currentGeneration}'=2 bcache/npm --timeout=60s");
  await show('kubectl get bcache npm');
}

async function race({ step, show, say }: Chapter): Promise<void> {
  step(
    'Two jobs at once',
    'Each has all of the cache for itself, in milliseconds; neither sees or waits for the other.',
  );
  await show(`${claim('job-1')}\n  ${claim('job-2')}`);
  await show('kubectl wait --for=condition=Ready bclaim/job-1 bclaim/job-2 --timeout=60s');
  await show(`for job in job-1 job-2; do
    clone=$(kubectl get bclaim $job -o jsonpath={.status.path})
    echo "by $job" > "$clone/node_modules/new"; rm "$clone/node_modules/package-1"
    echo "$job: $(ls "$clone/node_modules" | wc -l) files, new: $(cat "$clone/node_modules/new")"
  done`);
  say('\nBoth are done well. The first to say so wins; the other started from what is no longer the newest.');
  await show(`kubectl patch bclaim job-2 --type=merge --patch '{"spec": {"release": "Publish"}}'`);
  await show('kubectl wait --for=condition=Released bclaim/job-2 --timeout=60s');
  await show(`kubectl patch bclaim job-1 --type=merge --patch '{"spec": {"release": "Publish"}}'`);
  await show('kubectl wait --for=condition=Released bclaim/job-1 --timeout=60s');
  await show('kubectl get bclaim');
  await show('kubectl get bclaim job-1 -o jsonpath=\'{.status.conditions[?(@.type=="Released")].message}{"\\n"}\'');
}

async function next({ step, show }: Chapter): Promise<void> {
  step('The next job', 'It starts from the newest generation; one that changes nothing publishes nothing.');
  await show(claim('job-3'));
  await show('kubectl wait --for=condition=Ready bclaim/job-3 --timeout=60s');
  await show(`cat "${pathOf('job-3')}/node_modules/new"`);
  await show(`kubectl patch bclaim job-3 --type=merge --patch '{"spec": {"release": "Publish"}}'`);
  await show('kubectl wait --for=condition=Released bclaim/job-3 --timeout=60s');
  await show('kubectl get bclaim job-3');
  await show(
    `kubectl get bcache npm -o jsonpath='{range .status.generations[*]}generation {.generation} from {.from}{"\\n"}{end}'`,
  );
}

async function removeCache({ step, show }: Chapter): Promise<void> {
  step('Out of it again', 'One line starts empty again; deleting claims, cache and volume leaves nothing.');
  await show(`kubectl patch bcache npm --type=merge --patch '{"spec": {"resetToken": "again"}}'`);
  await show("kubectl wait --for=jsonpath='{.status.currentGeneration}'=4 bcache/npm --timeout=60s");
  await show('kubectl get bcache npm');
  await show('kubectl delete bclaim --all --timeout=60s');
  await show('kubectl delete -f examples/build-cache.yaml --timeout=60s');
}
