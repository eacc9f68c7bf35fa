import { existsSync } from 'node:fs';
import { KubeConfig } from '@kubernetes/client-node';

const SERVICE_ACCOUNT_TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** It can't be known where the API server is; a person has to change a file or a setting. The message is one line. */
export class KubeConfigError extends Error {
  override readonly name = 'KubeConfigError';
}

export interface KubeConfigOptions {
  /** Absolute path of a kubeconfig file; wins over the pod's service account. */
  readonly kubeconfigPath?: string | undefined;
}

/**
 * Where the API server is and who we are: the kubeconfig file if a path is given, else the pod's service account.
 * Neither `~/.kube/config` nor KUBECONFIG is looked at. Throws {@link KubeConfigError}.
 */
export function loadKubeConfig(options: KubeConfigOptions = {}): KubeConfig {
  const kubeConfig = new KubeConfig();
  if (options.kubeconfigPath !== undefined) {
    loadFile(kubeConfig, options.kubeconfigPath);
  } else if (existsSync(SERVICE_ACCOUNT_TOKEN_PATH)) {
    kubeConfig.loadFromCluster();
  } else {
    throw new KubeConfigError('no Kubernetes configuration: not running in a pod; give --kubeconfig');
  }
  if (kubeConfig.getCurrentCluster() === null) {
    throw new KubeConfigError(`kubeconfig: the current context "${kubeConfig.getCurrentContext()}" names no cluster`);
  }
  return kubeConfig;
}

function loadFile(kubeConfig: KubeConfig, kubeconfigPath: string): void {
  try {
    kubeConfig.loadFromFile(kubeconfigPath);
  } catch (cause) {
    const [why] = String(cause instanceof Error ? cause.message : cause).split('\n');
    throw new KubeConfigError(`kubeconfig "${kubeconfigPath}" can't be loaded: ${why}`, { cause });
  }
}
