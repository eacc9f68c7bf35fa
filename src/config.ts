import { hostname } from 'node:os';
import packageJson from '../package.json' with { type: 'json' };
import { agentContentSettings } from './content-settings.ts';
import { bytesOr } from './quantity-settings.ts';
import {
  count,
  directoryPath,
  dnsLabel,
  dnsName,
  flag,
  listenAddress,
  optionalPath,
  seconds,
  wholeSeconds,
} from './runtime/setting-kinds.ts';
import {
  describeSettings,
  type Environment,
  type Kind,
  number,
  oneOf,
  readSettings,
  SettingsError,
  type SettingValues,
  setting,
  text,
} from './runtime/settings.ts';
import { agentTransferSettings, controllerTransferSettings } from './transfer-settings.ts';

/** The version of this program, as in package.json. */
export const version: string = packageJson.version;

const ENV_PREFIX = 'BTRFS_OPERATOR';

const sectorBytes: Kind<number> = {
  schema: oneOf('512', '1024', '2048', '4096').schema.transform(Number),
  allowed: 'one of 512, 1024, 2048, 4096',
};

const common = {
  kubeconfig: setting(
    optionalPath,
    '',
    'File that says how to reach the API server; not needed inside a cluster.',
    'KUBECONFIG',
  ),
  namespace: setting(dnsLabel, 'btrfs-operator', 'Namespace of the operator, where its Leases are.', 'POD_NAMESPACE'),
  healthAddress: setting(listenAddress, ':8081', 'Where /healthz and /readyz are served.'),
  metricsAddress: setting(listenAddress, ':8080', 'Where /metrics is served.'),
  logLevel: setting(oneOf('trace', 'debug', 'info', 'warn', 'error'), 'info', 'Least important log lines to write.'),
  shutdownGraceSeconds: setting(seconds(0, 3600), '25', 'How long running work may take to finish after SIGTERM.'),
};

const controllerSettings = {
  ...common,
  identity: setting(
    dnsName,
    hostname().toLowerCase(),
    'Name of this controller in its Lease and its Events.',
    'POD_NAME',
  ),
  concurrency: setting(count(256), '8', 'Objects worked on at once.'),
  leaderElection: setting(flag, 'On', 'Off only where no second controller can run.'),
  leaderElectionLeaseSeconds: setting(
    wholeSeconds(1, 3600),
    '15',
    'How long a leader that went silent keeps its place.',
  ),
  leaderElectionRenewDeadlineSeconds: setting(
    seconds(0.5, 3600),
    '10',
    'A leader that could not renew for so long ends.',
  ),
  leaderElectionRetrySeconds: setting(seconds(0.1, 600), '2', 'Time between two tries to get or to renew the Lease.'),
  ...controllerTransferSettings,
};

const agentSettings = {
  ...common,
  nodeName: setting(dnsName, undefined, 'Name of the node this agent works on.', 'NODE_NAME'),
  root: setting(
    directoryPath,
    '/var/lib/btrfs-operator',
    'Directory on the node that holds images, records and mounts.',
  ),
  commandPath: setting(
    text(/^\/[^:]*(:\/[^:]*)*$/, 'absolute directories separated by colons'),
    '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'PATH of the commands that the agent runs (btrfs, losetup, mount …).',
  ),
  concurrency: setting(count(256), '8', 'Volumes worked on at once, and as many long pieces of work beside them.'),
  sectorSize: setting(sectorBytes, '4096', 'Logical sector size of loop devices in bytes, best effort.'),
  directIO: setting(flag, 'On', 'Direct I/O of loop devices, best effort: nothing is cached twice.'),
  overcommitRatio: setting(
    number(0.1, 100, 'a number'),
    '1',
    'What volumes may add up to: the size of the host file system times this, less the reserve. Above 1 they can outgrow it.',
  ),
  reserveBytes: setting(
    bytesOr('Auto'),
    'Auto',
    'Part of the host file system that is never given to volumes. Auto: 5 % of it, 1Gi at most.',
  ),
  hostPressurePercent: setting(
    number(0, 99, 'a whole number of percent', /^\d+$/),
    '10',
    'HostPressure begins when less than so many percent of the host file system are free.',
  ),
  hostPressureBytes: setting(
    bytesOr('None'),
    'None',
    'There is no HostPressure while this much is free, whatever the percentage says (for large disks).',
  ),
  usageIntervalSeconds: setting(seconds(0.1, 3600), '60', 'Time between two looks at how full a volume is.'),
  watchIntervalSeconds: setting(
    seconds(0.1, 600),
    '5',
    'Time between two looks at the mount table (lost and read-only mounts).',
  ),
  leaseSeconds: setting(
    wholeSeconds(1, 3600),
    '40',
    'A node whose agent was silent for so long is lost; the duration of its Lease.',
  ),
  renewSeconds: setting(seconds(0.1, 1200), '10', 'Time between two renewals of the Lease.'),
  ...agentTransferSettings,
  ...agentContentSettings,
};

export type ControllerConfig = { readonly command: 'controller' } & SettingValues<typeof controllerSettings>;
export type AgentConfig = { readonly command: 'agent' } & SettingValues<typeof agentSettings>;
export type Config = ControllerConfig | AgentConfig;

/** A text to print instead of running. */
export type Print = { readonly command: 'print'; readonly text: string };

const DESCRIPTIONS = {
  controller: 'Decides for the whole cluster: placement, finalizers, lost nodes. One leads, others stand by.',
  agent: 'Works on one node: images, loop devices, file systems, mounts. One per node, as root.',
} as const;

/**
 * What the command line and the environment ask for, frozen. A flag wins over its environment variable.
 * Throws {@link SettingsError} with one line for each bad setting, or with the help when there is no command.
 */
export function loadConfig(
  args: readonly string[] = process.argv.slice(2),
  environment: Environment = process.env,
): Config | Print {
  const [command, ...flags] = args;
  const sources = { flags, environment, prefix: ENV_PREFIX };
  switch (command) {
    case 'controller': {
      const values = readSettings(controllerSettings, sources);
      return typeof values === 'string' ? printed(values, command) : checkedController({ command, ...values });
    }
    case 'agent': {
      const values = readSettings(agentSettings, sources);
      return typeof values === 'string' ? printed(values, command) : checkedAgent({ command, ...values });
    }
    case '--version':
      return printed('version', 'agent');
    case undefined:
      throw new SettingsError(generalHelp());
    case '--help':
      return { command: 'print', text: generalHelp() };
    default:
      throw new SettingsError(`unknown command "${command}": give one of controller, agent, --help, --version`);
  }
}

function checkedController(config: ControllerConfig): ControllerConfig {
  const { leaderElectionLeaseSeconds: lease, leaderElectionRenewDeadlineSeconds: deadline } = config;
  refuseUnless(
    deadline < lease,
    '--leader-election-renew-deadline-seconds',
    deadline,
    `less than the lease's ${lease}`,
  );
  const retry = config.leaderElectionRetrySeconds;
  refuseUnless(
    retry < deadline,
    '--leader-election-retry-seconds',
    retry,
    `less than the renew deadline's ${deadline}`,
  );
  return Object.freeze(config);
}

function checkedAgent(config: AgentConfig): AgentConfig {
  const { leaseSeconds, renewSeconds } = config;
  refuseUnless(
    renewSeconds * 2 <= leaseSeconds,
    '--renew-seconds',
    renewSeconds,
    `half of --lease-seconds ${leaseSeconds} at most`,
  );
  return Object.freeze(config);
}

function refuseUnless(isAllowed: boolean, flagName: string, value: number, allowed: string): void {
  if (!isAllowed) throw new SettingsError(`${flagName}: "${value}" is not allowed: give ${allowed}`);
}

function printed(what: 'help' | 'version', command: keyof typeof DESCRIPTIONS): Print {
  if (what === 'version') return { command: 'print', text: `btrfs-operator ${version}` };
  const settings = command === 'controller' ? controllerSettings : agentSettings;
  const head = [
    `Usage: btrfs-operator ${command} [FLAGS]`,
    '',
    DESCRIPTIONS[command],
    'A flag wins over its environment variable.',
    '',
  ];
  return { command: 'print', text: [...head, describeSettings(settings, ENV_PREFIX)].join('\n') };
}

function generalHelp(): string {
  return [
    `btrfs-operator ${version}: btrfs volumes as Kubernetes objects`,
    '',
    'Usage: btrfs-operator COMMAND [FLAGS]',
    '',
    'Commands:',
    ...Object.entries(DESCRIPTIONS).map(([name, description]) => `  ${name.padEnd(12)}${description}`),
    '',
    'btrfs-operator COMMAND --help lists the flags of a command.',
  ].join('\n');
}
