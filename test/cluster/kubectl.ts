import { execFile } from 'node:child_process';
import path from 'node:path';

export interface KubectlOptions {
  readonly stdin?: string;
  readonly timeoutMs?: number;
}

/** Runs kubectl to its end and gives its stdout; throws with what it said on stderr when it fails. */
export type Kubectl = (args: readonly string[], options?: KubectlOptions) => Promise<string>;

/** The kubectl of these assets, talking to the cluster of this kubeconfig; its caches stay beside that file. */
export function createKubectl(assetsDir: string, kubeconfigPath: string): Kubectl {
  const file = path.join(assetsDir, 'kubectl');
  const homePath = path.dirname(kubeconfigPath);
  return (args, { stdin, timeoutMs = 60_000 } = {}) =>
    new Promise((resolve, reject) => {
      const child = execFile(
        file,
        [...args],
        { env: { KUBECONFIG: kubeconfigPath, HOME: homePath }, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 },
        (error, stdout, stderr) => {
          if (error === null) return resolve(stdout);
          reject(new Error(`kubectl ${args.join(' ')}: ${stderr.trim() || error.message}`, { cause: error }));
        },
      );
      child.stdin?.on('error', () => undefined); // kubectl may end before it has read everything
      child.stdin?.end(stdin);
    });
}
