import type { Logger } from 'pino';
import type { Orphan } from '../../api/btrfs-node.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Storage } from '../../storage/context.ts';
import { StorageError } from '../../storage/errors.ts';
import { findExports, STREAM_SUFFIX } from '../../storage/exports.ts';
import { findTreeOrphans, type TreeOrphans } from '../../storage/tree-orphans.ts';
import { findOrphans, type OrphanData, recordedNames, recordedUids } from '../../storage/volumes/orphans.ts';
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
  /** Uids of objects that are not known and of which there is unfinished work, as last looked at, with the volumes that it is in. */
  unfinished(): ReadonlyMap<string, readonly string[]>;
}

/** Looks into volumes when it is told to, in the background: one that hangs holds up no other, nor what is said of the node. */
export function createOrphanWatch(options: OrphanWatchOptions): OrphanWatch {
  return new BackgroundWatch(options);
}

class BackgroundWatch implements OrphanWatch {
  readonly #options: OrphanWatchOptions;
  readonly #inVolumes = new Map<string, TreeOrphans>();
  /** Uids of objects of which only an unfinished export, or an empty directory, is there. */
  #unfinishedExports: readonly string[] = [];
  /** Namespace and name of volumes, and whether they could be looked into. */
  readonly #volumes = new Map<string, { readonly key: string | undefined; readonly isSeen: boolean }>();
  /** Volumes that are being looked into, and whether that has to be done once more. */
  readonly #looking = new Map<string, { isDue: boolean; readonly ended: Promise<void> }>();
  /** Looks that begin soon: those that come together are one. */
  readonly #due = new Set<string | undefined>();
  /** When all volumes were. */
  #lookedAtMs: number | undefined;

  constructor(options: OrphanWatchOptions) {
    this.#options = options;
  }

  readonly look = (volumeUid?: string): void => {
    if (this.#due.has(volumeUid)) return;
    const { log, signal } = this.#options;
    void this.#lookSoon(volumeUid).catch((err: unknown) => {
      if (!signal.aborted) log.warn({ err }, 'could not look for orphans');
    });
  };

  async found(written: readonly Orphan[]): Promise<readonly OrphanData[] | undefined> {
    const { storage, caches, clock } = this.#options;
    const lookedAtMs = this.#lookedAtMs;
    if (lookedAtMs === undefined || clock.monotonicMs() - lookedAtMs > LOOK_AGAIN_MS) this.look();
    if (!caches.volumes.hasSynced || lookedAtMs === undefined) return undefined;
    const known = this.#known();
    const seen = [...this.#inVolumes.values()].flatMap(({ orphans }) => orphans);
    const inside = [...seen, ...this.#unseen(written, seen)].filter(({ uid }) => !known.has(uid));
    const volumes = new Set([...caches.volumes.values()].map(({ metadata }) => metadata.uid));
    const listed = [...(await findOrphans(storage, volumes)), ...inside];
    return [...listed, ...(await this.#findExports(listed))];
  }

  volumeOf({ uid }: OrphanData): string | undefined {
    return [...this.#inVolumes].find(([, { orphans }]) => orphans.some((orphan) => orphan.uid === uid))?.[0];
  }

  unfinished(): ReadonlyMap<string, readonly string[]> {
    const known = this.#known();
    const places = new Map<string, string[]>();
    const placesOf = (uid: string) => places.get(uid) ?? places.set(uid, []).get(uid) ?? [];
    for (const [volumeUid, { staged }] of this.#inVolumes) for (const uid of staged) placesOf(uid).push(volumeUid);
    for (const uid of this.#unfinishedExports) placesOf(uid);
    for (const uid of places.keys()) if (known.has(uid)) places.delete(uid);
    return places;
  }

  /** Exported files of objects that are neither there nor listed by what else they have. */
  async #findExports(listed: readonly OrphanData[]): Promise<readonly OrphanData[]> {
    const found = await findExports(this.#options.storage);
    const known = this.#known();
    const lost = found.filter(({ uid }) => !known.has(uid)).toSorted((a, b) => (a.uid < b.uid ? -1 : 1));
    this.#unfinishedExports = lost.filter(({ isUnfinished }) => isUnfinished).map(({ uid }) => uid);
    return lost
      .filter(({ uid, names }) => names.length > 0 && !listed.some((orphan) => orphan.uid === uid))
      .map(({ uid, names, bytes }) => {
        const kind = names.every((name) => name.endsWith(STREAM_SUFFIX)) ? 'Snapshot' : 'LoopbackVolume';
        return { uid, kind, namespace: undefined, name: undefined, bytes };
      });
  }

  /** What was written of volumes that are on the node and can't be looked into. */
  #unseen(written: readonly Orphan[], seen: readonly OrphanData[]): readonly OrphanData[] {
    const keysOf = (isSeen: boolean) =>
      new Set([...this.#volumes.values()].filter((each) => each.isSeen === isSeen).map(({ key }) => key));
    const [hidden, visible] = [keysOf(false), keysOf(true)];
    const isHidden = (key: string) => hidden.has(key) && !visible.has(key);
    const uids = new Set(seen.map(({ uid }) => uid));
    return written.filter(
      ({ uid, namespace, volume }) => volume !== undefined && isHidden(`${namespace}/${volume}`) && !uids.has(uid),
    ) as readonly OrphanData[];
  }

  /** Uids of all objects of this node. */
  #known(): ReadonlySet<string> {
    const { volumes, snapshots, buildCaches, claims } = this.#options.caches;
    const objects = [volumes, snapshots, buildCaches, claims].flatMap((cache) => [...cache.values()]);
    return new Set(objects.map(({ metadata }) => metadata.uid));
  }

  async #lookSoon(volumeUid: string | undefined): Promise<void> {
    const { storage, clock, signal, onChange } = this.#options;
    this.#due.add(volumeUid);
    if (this.#lookedAtMs !== undefined) await clock.sleep(DELAY_MS, signal);
    this.#due.delete(volumeUid);
    await (volumeUid === undefined ? this.#lookIntoAll() : this.#lookInto(volumeUid));
    const recorded = await recordedUids(storage);
    for (const volumes of [this.#inVolumes, this.#volumes]) {
      for (const uid of volumes.keys()) if (!recorded.has(uid)) volumes.delete(uid);
    }
    onChange();
  }

  async #lookIntoAll(): Promise<void> {
    const { storage, clock } = this.#options;
    await Promise.all([...(await recordedUids(storage))].map((uid) => this.#lookInto(uid)));
    this.#lookedAtMs = clock.monotonicMs();
  }

  /** Resolves when a look that was begun after the call has ended. */
  async #lookInto(volumeUid: string): Promise<void> {
    const running = this.#looking.get(volumeUid);
    if (running !== undefined) {
      running.isDue = true;
      return await running.ended;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const turn = { isDue: true, ended: promise };
    this.#looking.set(volumeUid, turn);
    while (turn.isDue) {
      turn.isDue = false;
      await this.#lookOnce(volumeUid);
    }
    this.#looking.delete(volumeUid);
    resolve();
  }

  async #lookOnce(volumeUid: string): Promise<void> {
    const { storage, log } = this.#options;
    const { namespace, name } = await recordedNames(storage.layout, volumeUid);
    const key = name === undefined ? this.#volumes.get(volumeUid)?.key : `${namespace}/${name}`;
    try {
      this.#inVolumes.set(volumeUid, await findTreeOrphans(storage, volumeUid, () => this.#known()));
      this.#volumes.set(volumeUid, { key, isSeen: true });
    } catch (err) {
      this.#inVolumes.delete(volumeUid);
      this.#volumes.set(volumeUid, { key, isSeen: false });
      if (!(err instanceof StorageError)) log.warn({ err, volumeUid }, 'could not look for orphans');
    }
  }
}
