import { describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };
import { type AgentConfig, type ControllerConfig, loadConfig } from '../../../src/config.ts';

const agent = (args: string[] = [], environment: Record<string, string> = {}) =>
  loadConfig(['agent', ...args], { NODE_NAME: 'node-a', ...environment }) as AgentConfig;
const controller = (args: string[] = [], environment: Record<string, string> = {}) =>
  loadConfig(['controller', ...args], environment) as ControllerConfig;

describe('loadConfig', () => {
  it('has a default for everything but the name of the node', () => {
    expect(agent()).toEqual({
      command: 'agent',
      nodeName: 'node-a',
      kubeconfig: undefined,
      namespace: 'btrfs-operator',
      root: '/var/lib/btrfs-operator',
      commandPath: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      healthAddress: ':8081',
      metricsAddress: ':8080',
      logLevel: 'info',
      concurrency: 8,
      sectorSize: 4096,
      directIO: 'On',
      overcommitRatio: 1,
      reserveBytes: undefined,
      hostPressurePercent: 10,
      hostPressureBytes: undefined,
      usageIntervalSeconds: 60,
      watchIntervalSeconds: 5,
      shutdownGraceSeconds: 25,
      leaseSeconds: 40,
      renewSeconds: 10,
      transferAddress: ':8082',
      transferAdvertiseHost: undefined,
      transferConcurrency: 4,
      transferIdleSeconds: 30,
      downloadAllowedPrefixes: [],
      downloadMaxBytes: 64 * 2 ** 30,
      downloadIdleSeconds: 30,
      downloadCaFile: undefined,
      downloadAllowPrivateAddresses: 'Off',
      streamAllowDeviceNodes: 'Off',
      streamAllowSetuid: 'Off',
      imageSources: 'Off',
    });
  });

  it('is frozen', () => {
    expect(Object.isFrozen(agent())).toBe(true);
    expect(Object.isFrozen(controller())).toBe(true);
  });

  it('takes the flag before the environment, and the environment before the default', () => {
    const environment = { BTRFS_OPERATOR_CONCURRENCY: '3', BTRFS_OPERATOR_DIRECT_IO: 'Off', NODE_NAME: 'by-env' };
    expect(agent(['--concurrency=5'], environment)).toMatchObject({
      concurrency: 5,
      directIO: 'Off',
      nodeName: 'by-env',
    });
    expect(agent(['--node-name', 'by-flag'], environment)).toMatchObject({ concurrency: 3, nodeName: 'by-flag' });
  });

  it('takes what a pod is told about itself', () => {
    const environment = { POD_NAME: 'controller-0', POD_NAMESPACE: 'storage', KUBECONFIG: '/etc/kubeconfig' };
    expect(controller([], environment)).toMatchObject({
      identity: 'controller-0',
      namespace: 'storage',
      kubeconfig: '/etc/kubeconfig',
    });
  });

  it('counts an empty variable as unset', () => {
    expect(agent([], { BTRFS_OPERATOR_LOG_LEVEL: '', KUBECONFIG: '' })).toMatchObject({
      logLevel: 'info',
      kubeconfig: undefined,
    });
  });

  it.each([
    [['--reserve-bytes=2Gi'], { reserveBytes: 2 * 2 ** 30 }],
    [['--reserve-bytes=0'], { reserveBytes: 0 }],
    [['--host-pressure-bytes=20Gi'], { hostPressureBytes: 20 * 2 ** 30 }],
    [['--overcommit-ratio=1.5'], { overcommitRatio: 1.5 }],
    [['--sector-size=512'], { sectorSize: 512 }],
    [['--lease-seconds=2', '--renew-seconds=0.5'], { leaseSeconds: 2, renewSeconds: 0.5 }],
    [['--health-address=[::1]:0'], { healthAddress: '[::1]:0' }],
    [['--root=/mnt/disk 1/x'], { root: '/mnt/disk 1/x' }],
    [['--download-max-bytes=1Gi'], { downloadMaxBytes: 2 ** 30 }],
    [
      ['--download-allowed-prefixes=https://a.example/x, https://b.example:8443'],
      { downloadAllowedPrefixes: [new URL('https://a.example/x'), new URL('https://b.example:8443/')] },
    ],
  ])('reads %j', (args, values) => {
    expect(agent(args)).toMatchObject(values);
  });

  it.each([
    [['--sector-size=8192'], '--sector-size: "8192" is not allowed: give one of 512, 1024, 2048, 4096'],
    [['--lease-seconds=40.5'], '--lease-seconds: "40.5" is not allowed: give a whole number of seconds from 1 to 3600'],
    [['--concurrency=0'], '--concurrency: "0" is not allowed: give a whole number from 1 to 256'],
    [['--concurrency=1e2'], '--concurrency: "1e2" is not allowed: give a whole number from 1 to 256'],
    [['--concurrency='], '--concurrency: "" is not allowed: give a whole number from 1 to 256'],
    [['--direct-io=yes'], '--direct-io: "yes" is not allowed: give one of On, Off'],
    [['--reserve-bytes=lots'], '--reserve-bytes: "lots" is not allowed: give a quantity such as 2Gi, or Auto'],
    [['--reserve-bytes=-1Gi'], '--reserve-bytes: "-1Gi" is not allowed: give a quantity such as 2Gi, or Auto'],
    [
      ['--node-name=Node A'],
      '--node-name: "Node A" is not allowed: give a DNS name (a-z, 0-9, - and ., 253 characters at most)',
    ],
    [
      ['--root=relative'],
      '--root: "relative" is not allowed: give an absolute path without . or .. and without a trailing slash, not /',
    ],
    [['--root=/a/../b'], '--root: "/a/../b" is not allowed'],
    [['--root=/'], '--root: "/" is not allowed'],
    [['--health-address=8081'], '--health-address: "8081" is not allowed: give host:port'],
    [['--command-path=bin'], '--command-path: "bin" is not allowed: give absolute directories separated by colons'],
    [['--renew-seconds=30'], '--renew-seconds: "30" is not allowed: give half of --lease-seconds 40 at most'],
    [
      ['--download-allowed-prefixes=http://a.example/'],
      '--download-allowed-prefixes: "http://a.example/" is not allowed: give https addresses without credentials',
    ],
    [['--download-allowed-prefixes=https://u:p@a.example/'], 'is not allowed: give https addresses'],
    [['--download-max-bytes=much'], '--download-max-bytes: "much" is not allowed: give a quantity such as 2Gi'],
    [['--no-such-flag'], "Unknown option '--no-such-flag'; --help lists the flags"],
    [['--root'], "Option '--root <value>' argument missing; --help lists the flags"],
    [['positional'], "Unexpected argument 'positional'"],
  ])('refuses %j', (args, message) => {
    expect(() => agent(args)).toThrow(message);
  });

  it('names the variable when the bad value came from there', () => {
    expect(() => agent([], { BTRFS_OPERATOR_LOG_LEVEL: 'loud' })).toThrow(
      'BTRFS_OPERATOR_LOG_LEVEL: "loud" is not allowed: give one of trace, debug, info, warn, error',
    );
  });

  it('tells all bad settings at once, one line each', () => {
    expect(() => loadConfig(['agent', '--concurrency=x', '--direct-io=x'], {})).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/^--node-name \(or NODE_NAME\) is missing: .*\n--concurrency.*\n--direct-io.*$/),
      }),
    );
  });

  it.each([
    [['--leader-election-renew-deadline-seconds=20'], "give less than the lease's 15"],
    [['--leader-election-retry-seconds=10'], "give less than the renew deadline's 10"],
  ])('refuses timings that can not work: %j', (args, message) => {
    expect(() => controller(args)).toThrow(message);
  });

  it('refuses an unknown command', () => {
    expect(() => loadConfig(['serve'], {})).toThrow(
      'unknown command "serve": give one of controller, agent, --help, --version',
    );
  });
});

describe('loadConfig: help and version', () => {
  const textOf = (args: string[]) => {
    const result = loadConfig(args, {});
    return result.command === 'print' ? result.text : undefined;
  };

  it.each([[['--version']], [['agent', '--version']], [['controller', '--version']]])(
    '%j prints the version',
    (args) => {
      expect(textOf(args)).toBe(`btrfs-operator ${packageJson.version}`);
    },
  );

  it('--help prints the commands; without a command they are what is wrong', () => {
    expect(textOf(['--help'])).toMatch(/Usage:(.|\n)*controller(.|\n)*agent/);
    expect(() => loadConfig([], {})).toThrow(textOf(['--help']));
  });

  it.each(['agent', 'controller'])(
    '%s --help names flag, variable and default of every setting, and needs no other',
    (command) => {
      const text = textOf([command, '--help']) ?? '';
      const config = command === 'agent' ? agent() : controller();
      for (const name of Object.keys(config)) {
        if (name === 'command') continue;
        const flag = name.replace(/([a-z])([A-Z])/g, '$1-$2').toLowerCase();
        expect(text).toMatch(new RegExp(`--${flag}\\n +\\S.*\\n.*(default: \\S+|required); env: [A-Z_]+`));
      }
    },
  );
});
