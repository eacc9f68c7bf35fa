/** The names of `--set-json` for values that differ from every default which reaches the flags of the operator. */
export const everySettingChanged = {
  logLevel: 'debug',
  'controller.concurrency': 3,
  'controller.shutdownGraceSeconds': 2.5,
  'controller.leaderElection.leaseSeconds': 20,
  'controller.leaderElection.renewDeadlineSeconds': 12,
  'controller.leaderElection.retrySeconds': 0.5,
  'agent.serviceAccount.name': 'node-workers',
  'agent.root': '/data/btrfs.d',
  'agent.sectorSize': 512,
  'agent.directIO': false,
  'agent.concurrency': 5,
  'agent.capacity.overcommitRatio': 1.5,
  // Helm keeps numbers as floats.
  'agent.capacity.reserve': 20_000_000_000,
  'agent.capacity.hostPressurePercent': 0,
  'agent.capacity.hostPressureBytes': '1.5Ti',
  'agent.usageIntervalSeconds': 90,
  'agent.watchIntervalSeconds': 0.5,
  'agent.lease.durationSeconds': 60,
  'agent.lease.renewSeconds': 30,
  'agent.transfer.port': 9000,
  'agent.transfer.concurrency': 2,
  'agent.transfer.idleSeconds': 20,
  'agent.downloads.allowedPrefixes': ['https://example.com/images', 'https://example.org:8443'],
  'agent.downloads.maxBytes': 123_456_789_012,
  'agent.downloads.idleSeconds': 10,
  'agent.downloads.allowPrivateAddresses': true,
  'agent.downloads.caConfigMap': { name: 'authorities', key: 'all.pem' },
  'agent.streams.allowDeviceNodes': true,
  'agent.streams.allowSetuid': true,
  'agent.imageSources': true,
  'agent.shutdownGraceSeconds': 60,
};

const pods = (component: string) => ({
  [`${component}.serviceAccount.annotations`]: { 'example.com/a': 'b' },
  [`${component}.priorityClassName`]: '',
  [`${component}.resources`]: { limits: { memory: '1Gi' } },
  [`${component}.podLabels`]: { team: 'storage' },
  [`${component}.podAnnotations`]: { 'example.com/a': 'b' },
  [`${component}.nodeSelector`]: { disk: 'ssd' },
  [`${component}.tolerations`]: [{ key: 'dedicated', operator: 'Exists' }],
  [`${component}.affinity`]: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'disk', operator: 'Exists' }] }],
      },
    },
  },
  [`${component}.extraArgs`]: ['--log-level=trace'],
  [`${component}.extraEnv`]: [{ name: 'HTTPS_PROXY', value: 'http://proxy.example:3128' }],
});

/** Everything that can be set of the objects themselves. */
export const everyObjectChanged = {
  'global.imageRegistry': 'registry.example/',
  nameOverride: 'store',
  commonLabels: { team: 'storage' },
  'image.repository': 'storage/btrfs-operator',
  'image.digest': `sha256:${'0'.repeat(64)}`,
  'image.pullPolicy': 'Always',
  imagePullSecrets: [{ name: 'pull' }],
  'networkPolicy.metricsFrom': [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }],
  'controller.replicas': 2,
  'controller.topologySpreadConstraints': [
    { maxSkew: 1, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule' },
  ],
  'agent.updateStrategy.maxUnavailable': '25%',
  'crds.keep': false,
  ...pods('controller'),
  ...pods('agent'),
};

/** As little as can be installed. */
export const everythingOff = {
  'crds.enabled': false,
  'rbac.create': false,
  'rbac.aggregate': false,
  'admissionPolicy.enabled': false,
  'networkPolicy.enabled': false,
  'controller.serviceAccount.create': false,
  'agent.serviceAccount.create': false,
  'controller.resources': {},
  'agent.resources': {},
  'controller.nodeSelector': null,
  'agent.tolerations': [],
};
