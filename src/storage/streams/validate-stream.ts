import { Transform, type TransformCallback } from 'node:stream';
import { StorageError } from '../errors.ts';
import { FinalName } from './final-name.ts';
import { MadeNames } from './made-names.ts';
import type { StreamCommand } from './stream-command.ts';
import { PathComplaint, refuse, StreamComplaint } from './stream-complaint.ts';
import { STREAM_HEADER_BYTES } from './stream-format.ts';
import { StreamParser } from './stream-parser.ts';
import { applyRule, type Scene, type StreamPermissions, type StreamSubject, subjectOf } from './stream-rules.ts';

/** What a stream from outside may be and do. */
export interface StreamLimits extends StreamPermissions {
  /** Of the whole stream. */
  readonly maxBytes: number;
  /** Of one command, header included; receive keeps one in memory. Linux 6.18 sends up to 144 KiB with pages of 4 KiB. */
  readonly maxCommandBytes: number;
  /** Most memory that the names of directories, symlinks and special files that the stream makes may take. */
  readonly maxNamesBytes: number;
}

/** Nothing that gives rights, streams of any length; 128 MiB hold the names of 6 million directories and symlinks. */
export const strictStreamLimits: StreamLimits = {
  allowDeviceNodes: false,
  allowSetuid: false,
  allowParentClones: false,
  maxBytes: Number.MAX_SAFE_INTEGER,
  maxCommandBytes: 512 * 1024,
  maxNamesBytes: 128 * 1024 * 1024,
};

/** What comes from another agent of the operator: whatever a volume may hold. */
export const nodeStreamLimits: StreamLimits = {
  ...strictStreamLimits,
  allowDeviceNodes: true,
  allowSetuid: true,
  allowParentClones: true,
};

export interface StreamSummary extends StreamSubject {
  readonly version: number;
  /** Seen so far; of the whole stream once it has ended. */
  readonly bytes: number;
}

/** A pass-through that fails when the stream is none that receive should see. Emits `begun` after the first command. */
export interface StreamValidator extends Transform {
  /** What the stream is; undefined until its first command was seen. Only after the end is it known to be whole. */
  summary(): StreamSummary | undefined;
}

/**
 * A pass-through for a btrfs send stream on its way to `btrfs receive`: what comes out is what went in, chunk by chunk and not
 * copied, and each command was checked before its last byte comes out, so that receive never acts on one that was refused.
 * The end marker comes out when the input has ended, so that receive never finishes a stream with something behind it.
 *
 * What it vouches for: one subvolume, named by one name; every path stays inside of it by its words, and goes through no symlink and
 * no special file that the stream made; no device nodes, setuid files, setgid files that can run and file capabilities unless `limits` allow them (in an increment {@link adaptIncrement}
 * sees to the modes); clones
 * from the subvolume itself or its parent only; commands, attributes and their lengths as the format has them; an end marker, and
 * nothing after it. What it can't know is what an increment's parent has: a path of an increment may go through a symlink of the
 * parent. So the caller runs receive with `--chroot` in an empty directory on a mount with nosuid, nodev, noexec and, where the
 * kernel has it, nosymfollow; with its default of one error; and believes neither without the other's success.
 *
 * `signal` ends it: a time budget is the caller's. Fails with a {@link StorageError} of reason `StreamRefused`, code `refused` when
 * the stream does what it may not, `damaged` when it was cut or its bytes changed. Memory: `maxCommandBytes` and `maxNamesBytes`.
 */
export function createStreamValidator(limits: StreamLimits, signal?: AbortSignal): StreamValidator {
  return new Validator(limits, signal);
}

class Validator extends Transform implements StreamValidator {
  readonly #limits: StreamLimits;
  readonly #parser: StreamParser;
  #bytes = 0;
  #scene: Scene | undefined;
  #lastByte: Buffer | undefined;
  /** Why the stream is refused, as soon as its name is known; nothing comes out any more. */
  #refused: { readonly name: FinalName; readonly where: string } | undefined;

  constructor(limits: StreamLimits, signal: AbortSignal | undefined) {
    // Nobody reads before `begun`: the longest first command has to fit.
    const readableHighWaterMark = STREAM_HEADER_BYTES + limits.maxCommandBytes + 1;
    super(signal === undefined ? { readableHighWaterMark } : { readableHighWaterMark, signal });
    this.#limits = limits;
    this.#parser = new StreamParser(limits.maxCommandBytes, (command) => this.#check(command));
  }

  summary(): StreamSummary | undefined {
    if (this.#scene === undefined) return undefined;
    return { ...this.#scene.subject, version: this.#parser.version, bytes: this.#bytes };
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#judge(done, () => {
      this.#bytes += chunk.length;
      if (this.#bytes > this.#limits.maxBytes) refuse(`it is longer than ${this.#limits.maxBytes} bytes`);
      this.#parser.push(chunk);
      if (this.#refused !== undefined) return undefined;
      if (!this.#parser.ended) return chunk;
      this.#lastByte = chunk.subarray(-1);
      return chunk.subarray(0, -1);
    });
  }

  override _flush(done: TransformCallback): void {
    this.#judge(done, () => {
      if (this.#refused !== undefined) throw this.#refused.name.complaint;
      this.#parser.finish();
      return this.#lastByte;
    });
  }

  #check(command: StreamCommand): void {
    if (this.#scene === undefined) {
      this.#scene = this.#begin(command);
      this.emit('begun');
    } else if (this.#refused === undefined) this.#apply(command, this.#scene);
    else {
      this.#refused.name.look(command);
      if (this.#refused.name.isKnown) throw this.#refused.name.complaint;
    }
  }

  #apply(command: StreamCommand, scene: Scene): void {
    try {
      applyRule(command, scene);
    } catch (error) {
      if (!(error instanceof PathComplaint)) throw error;
      this.#refused = { name: new FinalName(error), where: this.#where() };
      if (this.#refused.name.isKnown) throw error;
    }
  }

  #where(): string {
    const { command, offset } = this.#parser;
    return command.number === 0 ? '' : ` at byte ${offset}, command ${command.number} (${command.name})`;
  }

  #begin(command: StreamCommand): Scene {
    const subject = subjectOf(command, this.#limits);
    const baseline = subject.kind === 'full' ? 'empty' : 'parent';
    return { subject, made: new MadeNames(baseline, this.#limits.maxNamesBytes), permissions: this.#limits };
  }

  #judge(done: TransformCallback, work: () => Buffer | undefined): void {
    let out: Buffer | undefined;
    let failure: unknown = null;
    try {
      out = work();
    } catch (error) {
      failure = error instanceof StreamComplaint ? this.#errorOf(error) : error;
    }
    done(failure as Error | null, out);
  }

  #errorOf(found: StreamComplaint): StorageError {
    // What is wrong behind it does not matter any more.
    const complaint = this.#refused?.name.complaint ?? found;
    const where = this.#refused?.where ?? this.#where();
    return new StorageError(complaint.kind, `could not accept the stream${where}: ${complaint.message}`, {
      reason: 'StreamRefused',
      cause: complaint,
    });
  }
}
