import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** The figures of one volume in bytes; what is not known is left out. */
export interface VolumeFigures {
  readonly sizeBytes?: number | undefined;
  readonly usedBytes?: number | undefined;
  readonly freeBytes?: number | undefined;
  /** Allocated on the host's file system. */
  readonly hostBytes?: number | undefined;
  /** Given to neither data nor metadata yet. */
  readonly unallocatedBytes?: number | undefined;
  /** Errors since the file system was made, by kind. */
  readonly deviceErrors?: Readonly<Record<string, number>> | undefined;
}

type ByteFigure = Exclude<keyof VolumeFigures, 'deviceErrors'>;

export interface VolumeName {
  readonly namespace: string;
  readonly name: string;
}

/** The kernel's counters (`error_stats` of a device in sysfs). */
const ERROR_KINDS = ['write', 'read', 'flush', 'corruption', 'generation'];

export interface AgentInfo {
  readonly version: string;
  readonly btrfsProgs: string;
  readonly kernel: string;
}

export interface Operation {
  readonly operation: string;
  /** One word: `ok`, `failed` or `aborted`. */
  readonly outcome: string;
  readonly durationMs: number;
}

/** What an agent measures beyond what every process does. */
export interface AgentMetrics {
  /** One command ended; `outcome` is one word such as `ok`, `failed`, `timeout`. */
  commandEnded(command: { readonly file: string; readonly outcome: string; readonly durationMs: number }): void;
  /** One step of work on a volume or a Snapshot ended, such as `resize` or `commit`. */
  operationEnded(operation: Operation): void;
  /** The series of a volume show these figures and no others. */
  setVolume(volume: VolumeName, figures: VolumeFigures): void;
  /** There is no series of the volume any more. */
  removeVolume(volume: VolumeName): void;
  setInfo(info: AgentInfo): void;
}

const COMMAND_SECONDS = [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600];
const OPERATION_SECONDS = [0.1, 0.5, 2, 10, 60, 600];

/** Adds the metrics of an agent to the registry. */
export function createAgentMetrics(registry: Registry): AgentMetrics {
  const registers = [registry];
  const durations = <Label extends string>(label: Label, name: string, help: string, buckets: number[]) =>
    new Histogram<Label | 'outcome'>({ name, help, labelNames: [label, 'outcome'], buckets, registers });
  const commands = durations(
    'command',
    'btrfs_command_duration_seconds',
    'How long commands on the node took, by program and outcome.',
    COMMAND_SECONDS,
  );
  const operations = durations(
    'operation',
    'btrfs_operation_duration_seconds',
    'How long steps of work on volumes and Snapshots took, by what was done and how it ended.',
    OPERATION_SECONDS,
  );
  const info = new Gauge({
    name: 'btrfs_agent_info',
    help: 'Always 1; its labels say what runs on the node.',
    labelNames: ['version', 'btrfs_progs', 'kernel'],
    registers,
  });
  return {
    commandEnded: ({ file, outcome, durationMs }) => commands.observe({ command: file, outcome }, durationMs / 1000),
    operationEnded: ({ operation, outcome, durationMs }) =>
      operations.observe({ operation, outcome }, durationMs / 1000),
    ...createVolumeMetrics(registry),
    setInfo({ version, btrfsProgs, kernel }) {
      info.reset();
      info.set({ version, btrfs_progs: btrfsProgs, kernel }, 1);
    },
  };
}

function createVolumeMetrics(registry: Registry): Pick<AgentMetrics, 'setVolume' | 'removeVolume'> {
  const registers = [registry];
  const volumeGauge = (name: string, help: string) =>
    new Gauge({ name, help, labelNames: ['namespace', 'name'], registers });
  const gauges: Readonly<Record<ByteFigure, Gauge<'namespace' | 'name'>>> = {
    sizeBytes: volumeGauge('btrfs_volume_size_bytes', 'Size of the volume.'),
    usedBytes: volumeGauge('btrfs_volume_used_bytes', 'Bytes used in the volume.'),
    freeBytes: volumeGauge('btrfs_volume_free_bytes', 'Bytes that can still be written into the volume.'),
    hostBytes: volumeGauge('btrfs_volume_host_bytes', "Bytes that the volume's image takes on the node."),
    unallocatedBytes: volumeGauge(
      'btrfs_volume_unallocated_bytes',
      'Bytes of the volume that neither data nor metadata has been given yet.',
    ),
  };
  const errors = new Counter({
    name: 'btrfs_device_errors_total',
    help: 'Errors that btrfs counted in a volume since it was made: write, read, flush, corruption, generation.',
    labelNames: ['namespace', 'name', 'kind'],
    registers,
  });
  // The kernel has counted: what it says takes the place of what it said before.
  const setErrors = (volume: VolumeName, counts: NonNullable<VolumeFigures['deviceErrors']>) => {
    for (const kind of ERROR_KINDS) errors.remove({ ...volume, kind });
    for (const kind of ERROR_KINDS) {
      const count = counts[kind];
      if (count !== undefined) errors.inc({ ...volume, kind }, count);
    }
  };
  return {
    setVolume({ namespace, name }, figures) {
      for (const [figure, gauge] of Object.entries(gauges) as [ByteFigure, Gauge<'namespace' | 'name'>][]) {
        const bytes = figures[figure];
        if (bytes === undefined) gauge.remove({ namespace, name });
        else gauge.set({ namespace, name }, bytes);
      }
      setErrors({ namespace, name }, figures.deviceErrors ?? {});
    },
    removeVolume({ namespace, name }) {
      for (const gauge of Object.values(gauges)) gauge.remove({ namespace, name });
      setErrors({ namespace, name }, {});
    },
  };
}
