import { randomBytes } from 'node:crypto';
import { mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inject, onTestFailed } from 'vitest';
import { type ApiAccess, type ApiRequest, type ApiResponse, callApi } from './api.ts';
import { logTail } from './child.ts';
import { removeLeftovers } from './host-leftovers.ts';
import { createKubectl, type Kubectl } from './kubectl.ts';
import {
  type AgentOptions,
  type OperatorOptions,
  type OperatorProcess,
  startAgent,
  startController,
} from './processes.ts';

/** What one test has for itself: a namespace, a node's name and a directory. */
export interface Sandbox extends AsyncDisposable {
  readonly namespace: string;
  readonly nodeName: string;
  /** Empty at first; when the sandbox is disposed of, so is all that belongs to it: processes, mounts, loop devices. */
  readonly dir: string;
  readonly access: ApiAccess;
  readonly kubeconfigPath: string;
  /** In the sandbox's namespace unless told otherwise. */
  readonly kubectl: Kubectl;
  call(path: string, options?: ApiRequest): Promise<ApiResponse>;
  /** Of the sandbox's node, with its root at `<dir>/root` and its Leases in the sandbox's namespace unless told otherwise. */
  startAgent(options?: Partial<AgentOptions>): OperatorProcess;
  startController(options?: Partial<OperatorOptions>): OperatorProcess;
}

/** A sandbox on the API server of this run; for `await using` in a test of a project with the global setup. */
export async function createSandbox(): Promise<Sandbox> {
  const id = randomBytes(4).toString('hex');
  const namespace = `test-${id}`;
  const access = inject('api');
  const kubeconfigPath = inject('kubeconfigPath');
  const kubectl = createKubectl(inject('assetsDir'), kubeconfigPath);
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), `${id}-`)));
  const { status, body } = await callApi(access, '/api/v1/namespaces', {
    method: 'POST',
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
  });
  if (status !== 201) throw new Error(`can't make namespace ${namespace}: ${status} ${JSON.stringify(body)}`);
  const nodeName = `node-${id}`;
  const common = { kubeconfigPath, namespace, logDir: dir };
  const { shown, keepLogs } = showLogsOnFailure();
  return {
    namespace,
    nodeName,
    dir,
    access,
    kubeconfigPath,
    kubectl: (args, options) => kubectl([`--namespace=${namespace}`, ...args], options),
    call: (apiPath, options) => callApi(access, apiPath, options),
    startAgent: (options) => shown(startAgent({ ...common, nodeName, rootPath: path.join(dir, 'root'), ...options })),
    startController: (options) => shown(startController({ ...common, ...options })),
    async [Symbol.asyncDispose]() {
      keepLogs();
      await removeLeftovers(dir, 'all');
    },
  };
}

/** When the running test fails, the ends of the logs are printed; by then the sandbox and its files may be gone. */
function showLogsOnFailure() {
  const operators: OperatorProcess[] = [];
  let kept: string[] | undefined;
  const tails = () => operators.map((operator) => `--- ${path.basename(operator.logPath)}\n${logTail(operator, 60)}`);
  onTestFailed(() => {
    for (const tail of kept ?? tails()) console.error(tail);
  });
  return {
    shown(operator: OperatorProcess) {
      operators.push(operator);
      return operator;
    },
    keepLogs() {
      kept = tails();
    },
  };
}
