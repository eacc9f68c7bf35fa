import path from 'node:path';
import type { ApiAccess } from './api.ts';
import { createAudit } from './audit.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { installOperatorRoles } from './operator-roles.ts';

const crdsPath = path.resolve(import.meta.dirname, '../../crds');

/** A cluster that the operator can be started in: it has the CRDs and, in namespace `default`, the roles that the chart gives. */
export interface EquippedCluster extends ApiAccess, AsyncDisposable {
  readonly kubeconfigPath: string;
  /** Where the API server notes what service accounts ask; see `openAudit`. */
  readonly auditLogPath: string;
}

export type EquippedControlPlane = ControlPlane & EquippedCluster;

/** A control plane with all of that and an audit log, ready to serve. Throws as {@link startControlPlane} does. */
export async function startEquippedControlPlane(options: {
  readonly assetsDir: string;
  /** For data and logs; stays after the stop. */
  readonly dir: string;
}): Promise<EquippedControlPlane> {
  const { apiServerArgs, logPath: auditLogPath } = createAudit(path.join(options.dir, 'audit'));
  const controlPlane = await startControlPlane({ ...options, apiServerArgs });
  await controlPlane.applyManifests([crdsPath]);
  await installOperatorRoles({ access: controlPlane, namespace: 'default' });
  return { ...controlPlane, auditLogPath };
}
