import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { EventRecorder } from '../../kube/events.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { Namespace } from '../../kube/resource-types.ts';
import type { AgentMetrics } from '../../net/agent-metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Places } from '../../runtime/places.ts';
import type { Storage } from '../../storage/context.ts';
import type { Usage } from '../../storage/volumes/glance.ts';
import type { DependentsIn } from '../dependents.ts';
import type { StatusWriter } from '../status-writer.ts';
import type { ContentOptions } from './content.ts';
import type { HostFacts } from './decide.ts';
import type { PodsUsing } from './users.ts';

/** What a pass over a volume works with. */
export interface VolumeReconcilerOptions {
  readonly nodeName: string;
  readonly storage: Storage;
  readonly client: ResourceClient<LoopbackVolume>;
  readonly cached: (key: string) => LoopbackVolume | undefined;
  readonly dependentsIn: DependentsIn;
  readonly writer: StatusWriter<LoopbackVolume>;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly hostFacts: (volume: LoopbackVolume) => HostFacts;
  readonly podsUsing: PodsUsing;
  readonly content: ContentOptions;
  readonly namespaces: ResourceClient<Namespace>;
  /** For steps that may take hours. */
  readonly longPlaces: Places;
  readonly onOperation: AgentMetrics['operationEnded'];
  readonly onUsage: (volume: LoopbackVolume, usage: (Usage & { readonly sizeBytes: number }) | undefined) => void;
}
