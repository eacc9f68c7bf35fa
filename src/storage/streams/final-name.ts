import type { StreamCommand } from './stream-command.ts';
import type { PathComplaint, StreamComplaint } from './stream-complaint.ts';

/** Names of the kernel for what gets its own with a later rename: inode, generation, count (gen_unique_name in fs/btrfs/send.c). */
const TEMPORARY_NAME = /^o\d+-\d+-\d+$/;
/** After so many commands the name that it has by then has to do. */
const MOST_COMMANDS = 100_000;

/** Follows a path that is refused through the renames after it, until it is one that a person knows. */
export class FinalName {
  #complaint: PathComplaint;
  #commands = 0;

  constructor(complaint: PathComplaint) {
    this.#complaint = complaint;
  }

  get complaint(): StreamComplaint {
    return this.#complaint;
  }

  get isKnown(): boolean {
    return this.#commands > MOST_COMMANDS || !this.#complaint.path.some((name) => TEMPORARY_NAME.test(name));
  }

  look(command: StreamCommand): void {
    this.#commands += 1;
    if (command.name !== 'rename') return;
    const from = command.text('path').split('/');
    const { path } = this.#complaint;
    if (from.length > path.length || from.some((name, index) => name !== path[index])) return;
    this.#complaint = this.#complaint.at([...command.text('path_to').split('/'), ...path.slice(from.length)]);
  }
}
