import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { removeLeftovers } from '../cluster/host-leftovers.ts';
import { startAgent } from '../cluster/processes.ts';

const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'bundle-')));
const at = (name: string) => path.join(dir, name);
let controlPlane: ControlPlane;

beforeAll(async () => {
  const openssl = (line: string) => execFileSync('openssl', line.split(' '), { cwd: dir, stdio: 'pipe' });
  // Its own CA: the certificate of an administrator that signed itself.
  openssl('req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /O=system:masters/CN=admin');
  mkdirSync(at('control-plane'));
  controlPlane = await startControlPlane({
    assetsDir: inject('assetsDir'),
    dir: at('control-plane'),
    apiServerArgs: [`--client-ca-file=${at('cert.pem')}`],
  });
  await controlPlane.applyManifests([path.resolve(import.meta.dirname, '../../crds')]);
  await controlPlane.kubectl(['create', 'namespace', 'btrfs-operator']);
});
afterAll(async () => {
  await controlPlane?.stop();
  await removeLeftovers(dir, 'all');
});

describe('dist/btrfs-operator.js: KubeConfig is whole, though its package is not', () => {
  const credential = () => ({
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { token: controlPlane.token },
  });
  const base64 = (name: string) => readFileSync(at(name)).toString('base64');
  const apiVersion = 'client.authentication.k8s.io/v1';

  it.each<[string, () => object]>([
    // As in a pod, whose service account's token is a file.
    ['token-file', () => ({ 'auth-provider': { name: 'tokenFile', config: { tokenFile: at('token') } } })],
    ['exec', () => ({ exec: { apiVersion, command: 'cat', args: [at('credential')], interactiveMode: 'Never' } })],
    ['cert-files', () => ({ 'client-certificate': at('cert.pem'), 'client-key': at('key.pem') })],
    ['cert-data', () => ({ 'client-certificate-data': base64('cert.pem'), 'client-key-data': base64('key.pem') })],
  ])('an agent signs in by %s', async (nodeName, user) => {
    writeFileSync(at('token'), controlPlane.token);
    writeFileSync(at('credential'), JSON.stringify(credential()));
    const kubeconfig = JSON.parse(readFileSync(controlPlane.kubeconfigPath, 'utf8'));
    kubeconfig.users[0].user = user();
    const kubeconfigPath = at(`kubeconfig-${nodeName}`);
    writeFileSync(kubeconfigPath, JSON.stringify(kubeconfig));
    await using agent = startAgent({ kubeconfigPath, logDir: dir, nodeName, rootPath: at(`root-${nodeName}`) });
    await agent.ready();
    await controlPlane.kubectl(['wait', '--for=create', '--timeout=10s', `btrfsnode/${nodeName}`]);
    expect(agent.running).toBe(true);
  });
});
