import type { Logger } from 'pino';
import type { Orphan } from '../../api/btrfs-node.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Storage } from '../../storage/context.ts';
import { StorageError } from '../../storage/errors.ts';
import { loadRecord } from '../../storage/records.ts';
import { findTreeOrphans } from '../../storage/tree-orphans.ts';
import { findOrphans, type OrphanData, recordedUids } from '../../storage/volumes/orphans.ts';
import type { Caches } from '../caches.ts';

/** Whoever changes what is in a volume says so; this is for what is changed by hand. */
const LOOK_AGAIN_MS = 10 * 60_000;
const DELAY_MS = 300;

export interface OrphanWatchOptions {
  readonly storage: Storage;
  readonly caches: Pick<Caches, 'volumes' | 'snapshots' | 'buildCaches' | 'claims'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Something that {@link OrphanWatch.found} gives may have changed. */
  readonly onChange: () => void;
}

/** What lies on this node and belongs to no object. */
export interface OrphanWatch {
  /** What lives in this volume, or in all of them, has changed, or can be seen now. */
  look(volumeUid?: string): void;
  /**
   * All that is known of; undefined until everything was looked at once, or as long as nobody knows which objects there are. What was
   * written of a volume stays while that can't be looked into.
   */
  found(written: readonly Orphan[]): Promise<readonly OrphanData[] | undefined>;
  /** The uid of the volume that this orphan lies in; undefined for a volume. */
  volumeOf(orphan: OrphanData): string | undefined;
}

/** Looks into volumes when it is told to, in the background: one that hangs holds up no other, nor what is said of the node. */
export function createOrphanWatch(options: OrphanWatchOptions): OrphanWatch {
  const { storage, caches, clock, onChange } = options;
  const inVolumes = new Map<string, readonly OrphanData[]>();
  /** Namespace and name of volumes, and whether they could be looked into. */
  const volumeKeys = new Map<string, { readonly key: string; readonly isSeen: boolean }>();
  /** Volumes that are being looked into, and whether that has to be done once more. */
  const looking = new Map<string, 'once' | 'again'>();
  let lookedAtMs: number | undefined;

  const known = () =>
    new Set(
      [caches.snapshots, caches.buildCaches, caches.claims].flatMap((objects) =>
        [...objects.values()].map(({ metadata }) => metadata.uid),
      ),
    );
  const lookInto = async (volumeUid: string) => {
    if (looking.has(volumeUid)) return void looking.set(volumeUid, 'again');
    looking.set(volumeUid, 'once');
    const { namespace, name } = (await loadRecord(storage.layout, volumeUid).catch(() => undefined)) ?? {};
    const key = `${namespace}/${name}`;
    try {
      inVolumes.set(volumeUid, await findTreeOrphans(storage, volumeUid, known));
      volumeKeys.set(volumeUid, { key, isSeen: true });
    } catch (err) {
      inVolumes.delete(volumeUid);
      volumeKeys.set(volumeUid, { key, isSeen: false });
      if (!(err instanceof StorageError)) options.log.warn({ err, volumeUid }, 'could not look for orphans');
    }
    const isDue = looking.get(volumeUid) === 'again';
    looking.delete(volumeUid);
    if (isDue) await lookInto(volumeUid);
  };
  const lookIntoAll = async () => {
    await Promise.all([...(await recordedUids(storage))].map(lookInto));
    lookedAtMs = clock.monotonicMs();
  };
  /** Those that come together are one look. */
  const due = new Set<string | undefined>();
  const lookSoon = async (volumeUid: string | undefined) => {
    due.add(volumeUid);
    if (lookedAtMs !== undefined) await clock.sleep(DELAY_MS, options.signal);
    due.delete(volumeUid);
    await (volumeUid === undefined ? lookIntoAll() : lookInto(volumeUid));
    const recorded = await recordedUids(storage);
    for (const volumes of [inVolumes, volumeKeys]) {
      for (const uid of volumes.keys()) if (!recorded.has(uid)) volumes.delete(uid);
    }
    onChange();
  };
  const look = (volumeUid?: string) => {
    if (due.has(volumeUid)) return;
    void lookSoon(volumeUid).catch((err: unknown) => {
      if (!options.signal.aborted) options.log.warn({ err }, 'could not look for orphans');
    });
  };
  return {
    look,
    async found(written) {
      if (clock.monotonicMs() - (lookedAtMs ?? Number.NEGATIVE_INFINITY) > LOOK_AGAIN_MS) look();
      if (!caches.volumes.hasSynced || lookedAtMs === undefined) return undefined;
      const volumes = new Set([...caches.volumes.values()].map(({ metadata }) => metadata.uid));
      const now = known();
      const seen = [...inVolumes.values()].flat();
      const keysOf = (isSeen: boolean) =>
        new Set([...volumeKeys.values()].filter((each) => each.isSeen === isSeen).map(({ key }) => key));
      const [hidden, visible] = [keysOf(false), keysOf(true)];
      const isHidden = (key: string) => hidden.has(key) && !visible.has(key);
      const unseen = written.filter(({ uid, namespace, volume }) => {
        return volume !== undefined && isHidden(`${namespace}/${volume}`) && !seen.some((orphan) => orphan.uid === uid);
      });
      const inside = [...seen, ...(unseen as readonly OrphanData[])].filter(({ uid }) => !now.has(uid));
      return [...(await findOrphans(storage, volumes)), ...inside];
    },
    volumeOf: (orphan) => [...inVolumes].find(([, orphans]) => orphans.some(({ uid }) => uid === orphan.uid))?.[0],
  };
}
