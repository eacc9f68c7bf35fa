import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** One request of a service account, as the API server has answered it. */
export interface AuditedRequest {
  readonly username: string;
  readonly verb: string;
  /** e.g. `leases.coordination.k8s.io`, `snapshots.btrfs-operator.io/status`; the path of what is no resource. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly code: number;
  /** What the API server said of a failure; empty otherwise. */
  readonly message: string;
}

export interface Audit {
  /** What service accounts have asked since it was opened. */
  requests(): AuditedRequest[];
  /** Those that were refused for lack of a right, by a role or by a policy, one line each. Events in a namespace that goes are not. */
  refusals(): string[];
}

// Requests are logged when they are answered, and nobody else's than those of service accounts.
const POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [{ level: 'Metadata', userGroups: ['system:serviceaccounts'] }, { level: 'None' }],
};

/** Arguments that have an API server note in `dir` what service accounts ask, and where. */
export function createAudit(dir: string): { readonly apiServerArgs: readonly string[]; readonly logPath: string } {
  mkdirSync(dir, { recursive: true });
  const policyPath = path.join(dir, 'audit-policy.json');
  const logPath = path.join(dir, 'audit.log');
  writeFileSync(policyPath, JSON.stringify(POLICY));
  writeFileSync(logPath, '');
  return { apiServerArgs: [`--audit-policy-file=${policyPath}`, `--audit-log-path=${logPath}`], logPath };
}

export function openAudit(logPath: string): Audit {
  const { size } = statSync(logPath);
  const requests = () =>
    readFileSync(logPath)
      .subarray(size)
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map(parseEvent);
  return {
    requests,
    refusals: () =>
      requests()
        .filter(({ code, message }) => code === 401 || (code === 403 && !message.includes('is being terminated')))
        .map(({ username, verb, resource, namespace, name, message }) =>
          [username, verb, resource, `${namespace}/${name}`, message].join(' '),
        ),
  };
}

/** A line of the log (audit.k8s.io/v1 Event). */
function parseEvent(line: string): AuditedRequest {
  const { user, verb, requestURI, objectRef, responseStatus } = JSON.parse(line);
  return {
    username: user.username,
    verb,
    resource: objectRef === undefined ? requestURI : resourceOf(objectRef),
    namespace: objectRef?.namespace ?? '',
    name: objectRef?.name ?? '',
    code: responseStatus?.code ?? 0,
    message: responseStatus?.message ?? '',
  };
}

interface ObjectReference {
  readonly resource: string;
  readonly apiGroup?: string;
  readonly subresource?: string;
}

function resourceOf({ resource, apiGroup, subresource }: ObjectReference): string {
  const kind = apiGroup === undefined ? resource : `${resource}.${apiGroup}`;
  return subresource === undefined ? kind : `${kind}/${subresource}`;
}
