import { Gauge, Histogram, type Registry } from 'prom-client';

/** The figures of one volume in bytes; what is not known is left out. */
export interface VolumeFigures {
  readonly sizeBytes?: number | undefined;
  readonly usedBytes?: number | undefined;
  readonly freeBytes?: number | undefined;
  /** Allocated on the host's file system. */
  readonly hostBytes?: number | undefined;
}

export interface AgentInfo {
  readonly version: string;
  readonly btrfsProgs: string;
  readonly kernel: string;
}

/** What an agent measures beyond what every process does. */
export interface AgentMetrics {
  /** One command ended; `outcome` is one word such as `ok`, `failed`, `timeout`. */
  commandEnded(command: { readonly file: string; readonly outcome: string; readonly durationMs: number }): void;
  /** The series of a volume show these figures and no others. */
  setVolume(volume: { readonly namespace: string; readonly name: string }, figures: VolumeFigures): void;
  /** There is no series of the volume any more. */
  removeVolume(volume: { readonly namespace: string; readonly name: string }): void;
  setInfo(info: AgentInfo): void;
}

const COMMAND_SECONDS = [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600];

/** Adds the metrics of an agent to the registry. */
export function createAgentMetrics(registry: Registry): AgentMetrics {
  const registers = [registry];
  const commands = new Histogram({
    name: 'btrfs_command_duration_seconds',
    help: 'How long commands on the node took, by program and outcome.',
    labelNames: ['command', 'outcome'],
    buckets: COMMAND_SECONDS,
    registers,
  });
  const info = new Gauge({
    name: 'btrfs_agent_info',
    help: 'Always 1; its labels say what runs on the node.',
    labelNames: ['version', 'btrfs_progs', 'kernel'],
    registers,
  });
  const volumeGauge = (name: string, help: string) =>
    new Gauge({ name, help, labelNames: ['namespace', 'name'], registers });
  const gauges: Readonly<Record<keyof VolumeFigures, Gauge<'namespace' | 'name'>>> = {
    sizeBytes: volumeGauge('btrfs_volume_size_bytes', 'Size of the volume.'),
    usedBytes: volumeGauge('btrfs_volume_used_bytes', 'Bytes used in the volume.'),
    freeBytes: volumeGauge('btrfs_volume_free_bytes', 'Bytes that can still be written into the volume.'),
    hostBytes: volumeGauge('btrfs_volume_host_bytes', "Bytes that the volume's image takes on the node."),
  };
  return {
    commandEnded: ({ file, outcome, durationMs }) => commands.observe({ command: file, outcome }, durationMs / 1000),
    setVolume({ namespace, name }, figures) {
      for (const [figure, gauge] of Object.entries(gauges) as [keyof VolumeFigures, Gauge<'namespace' | 'name'>][]) {
        const bytes = figures[figure];
        if (bytes === undefined) gauge.remove({ namespace, name });
        else gauge.set({ namespace, name }, bytes);
      }
    },
    removeVolume({ namespace, name }) {
      for (const gauge of Object.values(gauges)) gauge.remove({ namespace, name });
    },
    setInfo({ version, btrfsProgs, kernel }) {
      info.reset();
      info.set({ version, btrfs_progs: btrfsProgs, kernel }, 1);
    },
  };
}
