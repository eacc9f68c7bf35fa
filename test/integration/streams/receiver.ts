import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createStreamValidator, type StreamLimits } from '../../../src/storage/streams/validate-stream.ts';
import { chunksOf } from '../../builders/chunks.ts';
import { MiB, mountFilesystem } from '../compact-filesystem.ts';
import { sh } from '../recovery/host-view.ts';

/** A command of a mutated stream may wait for the other end of a fifo for ever. */
const RECEIVE_MS = 3_000;

export interface Reception {
  readonly exitCode: number | null;
  readonly stderr: string;
}

/**
 * A filesystem to make streams in and to receive them as an agent does: in the empty directory `stagingPath` of a mount with
 * `mountOptions`. Canaries stand beside it: in the same directory, elsewhere in the filesystem, and on the host.
 */
export function openReceiver(mountOptions = 'nosuid,nodev,noexec,nosymfollow') {
  const filesystem = mountFilesystem({ sizeBytes: 1024 * MiB });
  const { dir, mountPath, devicePath } = filesystem;
  sh('btrfs', 'subvolume', 'create', path.join(mountPath, 'receiving'));
  const receivingPath = path.join(dir, 'receiving');
  mkdirSync(receivingPath);
  sh('mount', '--options', `${mountOptions},noatime,subvol=receiving`, devicePath, receivingPath);
  const stagingPath = path.join(receivingPath, 'staging');
  const parentsPath = path.join(receivingPath, 'parents');
  for (const each of [stagingPath, parentsPath]) mkdirSync(each);
  const canaryPaths = [receivingPath, mountPath, dir].map((each) => path.join(each, 'canary'));
  for (const each of canaryPaths) makeCanary(each);

  const receive = (stream: Buffer, intoPath = stagingPath): Reception => {
    const child = spawnSync('btrfs', ['--quiet', 'receive', '--chroot', intoPath], {
      input: stream,
      timeout: RECEIVE_MS,
      killSignal: 'SIGKILL',
    });
    return { exitCode: child.status, stderr: child.stderr.toString('latin1') };
  };

  return {
    ...filesystem,
    stagingPath,
    parentsPath,
    canaryPaths,
    receive,
    /** As an agent does it: the stream, in chunks of any size, through a validator into receive. Throws what the validator says. */
    async receiveValid(stream: Buffer, limits: StreamLimits, next: () => number) {
      const validator = createStreamValidator(limits);
      const child = spawn('btrfs', ['--quiet', 'receive', '--chroot', stagingPath], {
        stdio: ['pipe', 'ignore', 'pipe'],
      });
      const exit = once(child, 'exit');
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString('latin1');
      });
      await pipeline(Readable.from(chunksOf(stream, next), { objectMode: false }), validator, child.stdin);
      const [exitCode] = (await exit) as [number | null];
      return { exitCode, stderr, summary: validator.summary() };
    },
    /** Everything outside of staging that a stream might reach: kinds, modes, owners, sizes, times of change. */
    outside(): string {
      const others = [path.join(receivingPath, 'parents'), ...canaryPaths];
      return sh('find', ...others, '-printf', '%p %y %m %U:%G %s %C@ %n %l\\n');
    },
    /** What should not be in staging: device nodes, setuid files, setgid ones that can run, file capabilities, more than one subvolume. */
    illicit(): string[] {
      const runsAsOthers = ['(', '-perm', '/4000', '-o', '-perm', '-2010', ')'];
      const found = sh('find', stagingPath, '-type', 'b', '-o', '-type', 'f', ...runsAsOthers);
      // Those with number 0:0 are whiteouts of overlayfs.
      const devices = sh('find', stagingPath, '-type', 'c', '-exec', 'stat', '--format=%t:%T %n', '{}', '+')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('0:0 '));
      const capable = sh(
        'getfattr',
        '--recursive',
        '--physical',
        '--no-dereference',
        '--match=^security.capability$',
        stagingPath,
      );
      const names = readdirSync(stagingPath);
      return [found, ...devices, capable, names.length > 1 ? names.join(' ') : ''].filter((each) => each !== '');
    },
    empty(): void {
      for (const name of readdirSync(stagingPath, { encoding: 'buffer' })) {
        const child = Buffer.concat([Buffer.from(`${stagingPath}/`), name]);
        const { status } = spawnSync('btrfs', ['--quiet', 'subvolume', 'delete', child.toString()]);
        if (status !== 0) rmSync(child, { recursive: true });
      }
    },
  };
}

export type Receiver = ReturnType<typeof openReceiver>;

function makeCanary(canaryPath: string): void {
  mkdirSync(path.join(canaryPath, 'directory'), { recursive: true });
  writeFileSync(
    path.join(canaryPath, 'secret'),
    `the secret of ${path.basename(path.dirname(canaryPath))}`.repeat(500),
  );
  writeFileSync(path.join(canaryPath, 'directory/file'), 'canary');
  symlinkSync('secret', path.join(canaryPath, 'link'));
}
