import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { EquippedControlPlane } from '../../cluster/equipped-control-plane.ts';
import { type CacheKit, cacheKit } from '../caches/kit.ts';
import { startOwnControlPlane } from '../controller/cluster.ts';
import { type Lab, startLab } from '../lab.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';
import { type AdoptionKit, adoptionKit } from './kit.ts';

/** What the tests of a file work on, from {@link useAdoptionLab} on. */
export let lab: Lab;
export let kit: AdoptionKit;
export let snapshots: SnapshotKit;
export let caches: CacheKit;
/** Only of a file that has its own. */
export let controlPlane: EquippedControlPlane;

/**
 * The tests of this file have a lab with one agent, which ends with them; on a control plane of its own if they do to that what others
 * could not bear.
 */
export function useAdoptionLab(on: 'lent control plane' | 'own control plane' = 'lent control plane'): void {
  beforeAll(async () => {
    if (on === 'own control plane') controlPlane = await startOwnControlPlane();
    lab = await startLab(controlPlane);
    kit = adoptionKit(lab);
    snapshots = snapshotKit(lab);
    caches = cacheKit(lab);
    await kit.startAgent();
  });
  afterAll(async () => {
    await kit?.controller.end();
    await lab?.[Symbol.asyncDispose]();
  });
  beforeEach(() => lab.showLogsOnFailure());
}
