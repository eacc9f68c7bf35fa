import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface NodeFiles {
  /** Where they go. */
  readonly dir: string;
  readonly assetsDir: string;
  /** Of pods on this node, e.g. `10.244.1.0/24`. */
  readonly podRange: string;
  /** Below which all cgroups of the node are, e.g. `/btrfs-operator-e2e-x1/node-a`. */
  readonly cgroup: string;
  readonly kubeconfig: string;
}

const SANDBOX_IMAGE = 'e2e.test/debian:13';

/** Writes what containerd, its network plugins, kubelet and kube-proxy of a node read. JSON is YAML. */
export function writeNodeFiles(files: NodeFiles): void {
  const { dir } = files;
  mkdirSync(path.join(dir, 'cni'), { recursive: true });
  const write = (name: string, content: string | object) =>
    writeFileSync(path.join(dir, name), typeof content === 'string' ? content : JSON.stringify(content), {
      mode: 0o600,
    });
  write('kubeconfig', files.kubeconfig);
  write('containerd.toml', containerdConfig(files));
  write('cni/10-pods.conflist', networkConfig(files));
  write('kubelet.yaml', kubeletConfig(files));
  write('kube-proxy.yaml', proxyConfig(files));
}

function containerdConfig({ dir, assetsDir }: NodeFiles): string {
  return `version = 3
root = '${dir}/containerd/root'
state = '/run/containerd'
disabled_plugins = ['io.containerd.nri.v1.nri', 'io.containerd.internal.v1.tracing']
[grpc]
  address = '/run/containerd.sock'
[plugins.'io.containerd.internal.v1.opt']
  path = '${dir}/containerd/opt'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '${SANDBOX_IMAGE}'
[plugins.'io.containerd.cri.v1.runtime']
  # A machine that is a container itself may not lower a process's oom_score_adj.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/usr/lib/cni']
  conf_dir = '${dir}/cni'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = '${assetsDir}/runc'
  SystemdCgroup = false
`;
}

function networkConfig({ podRange }: NodeFiles): object {
  return {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: '/run/cni',
          ranges: [[{ subnet: podRange }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}

function kubeletConfig({ dir, cgroup }: NodeFiles): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: 'unix:///run/containerd.sock',
    podLogsDir: path.join(dir, 'pods-logs'),
    failSwapOn: false,
    // The machine's cgroups may be of version 1, and there is no systemd.
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: cgroup,
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    resolvConf: '',
    // The disk is the machine's: how full it is says nothing of the node.
    evictionHard: {},
    imageGCHighThresholdPercent: 100,
    nodeStatusUpdateFrequency: '5s',
  };
}

function proxyConfig({ dir }: NodeFiles): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clientConnection: { kubeconfig: path.join(dir, 'kubeconfig-kube-proxy') },
    // Limits of connection tracking are the machine's, not those of a network namespace.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    oomScoreAdj: 0,
  };
}

/** All controllers of version 1, or the one tree of version 2. */
export function cgroupTrees(): string[] {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) return ['/sys/fs/cgroup'];
  return [
    'cpu',
    'cpuacct',
    'cpuset',
    'memory',
    'devices',
    'freezer',
    'blkio',
    'pids',
    'systemd',
    'hugetlb',
    'net_cls',
    'net_prio',
    'perf_event',
  ]
    .map((name) => path.join('/sys/fs/cgroup', name))
    .filter((tree) => existsSync(tree));
}
