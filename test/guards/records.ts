import type { Guard } from './guard.ts';

const RECORDS_TEST = 'test/unit/storage/records.test.ts';
const DECIDE_VOLUME_TEST = 'test/unit/agent/decide-volume.test.ts';

/** Records, crash recovery, life of devices (rows C). */
export const recordGuards: readonly Guard[] = [
  {
    promise: 'C1 D1',
    breaks: 'others could look into a directory of the operator',
    file: 'src/storage/records.ts',
    from: '  await chmod(path, 0o700);\n',
    to: '  await chmod(path, 0o755);\n',
    test: RECORDS_TEST,
  },
  {
    promise: 'C3',
    breaks: 'a volume with a second loop device were used on',
    file: 'src/agent/volumes/decide.ts',
    from: 'if (loops.length > 1) {',
    to: 'if (loops.length > 2) {',
    test: DECIDE_VOLUME_TEST,
  },
  {
    promise: 'C5',
    breaks: 'the record of another object were believed',
    file: 'src/storage/caches/records.ts',
    from: 'return uid === undefined || record.uid === uid ? record',
    to: 'return uid === undefined || record.uid !== undefined ? record',
    test: 'test/unit/storage/cache-records.test.ts',
  },
  {
    promise: 'C7',
    breaks: 'a record that can not be read counted for none',
    file: 'src/storage/records.ts',
    from: "reason: 'RecordDamaged' });",
    to: "reason: 'RecordMissing' });",
    test: RECORDS_TEST,
  },
  {
    promise: 'C8',
    breaks: 'an adoption that was begun did not go on',
    file: 'src/agent/volumes/decide.ts',
    from: '  if (seen.record.adopting !== undefined) return',
    to: '  if (seen.record.adopting === seen.uid) return',
    test: DECIDE_VOLUME_TEST,
  },
  {
    promise: 'C8',
    breaks: 'data of another namespace were taken over',
    file: 'src/controller/volumes/adoption.ts',
    from: 'if (orphan.namespace !== metadata.namespace) return',
    to: 'if (orphan.namespace === undefined) return',
    test: 'test/unit/controller/adoption.test.ts',
  },
  {
    promise: 'C19',
    breaks: 'a volume that is not mounted yet were Ready',
    file: 'src/agent/volumes/conditions.ts',
    from: "    return ['False', failure?.reason ?? 'Mounting', failure?.message ?? 'the volume is being made ready'];\n  // A",
    to: "    return ['True', 'Ready', 'the volume is being made ready'];\n  // A",
    test: 'test/unit/agent/conditions.test.ts',
  },
  {
    promise: 'C20',
    breaks: 'an older mkfs could make no volume',
    file: 'src/host/mkfs.ts',
    from: 'if (!wasRefused(error)) throw error;',
    to: 'if (error !== undefined) throw error;',
    test: 'test/unit/storage/format.test.ts',
  },
  {
    promise: 'C22',
    breaks: 'a failure did not tell the exit code',
    file: 'src/host/command.ts',
    from: "`exit code ${failure.exitCode ?? 'unknown'}`",
    to: "'failed'",
    test: 'test/unit/host/commands.test.ts',
  },
  {
    promise: 'C23',
    breaks: 'Snapshots of a volume of the name in another namespace held it up, and its own did not',
    file: 'src/agent/snapshots/relations.ts',
    from: 'filter((snapshot) => referenceKey(snapshot, snapshot.spec.volumeRef) === key)',
    to: 'filter((snapshot) => snapshot.spec.volumeRef.name === volume.metadata.name)',
    test: 'test/unit/agent/snapshot-relations.test.ts',
  },
  {
    promise: 'C11',
    breaks: 'a volume whose source does not fit were not said to be stalled',
    file: 'src/agent/volumes/conditions.ts',
    from: "    return ['False', 'Filling', 'the content of spec.source is coming; see status.import'];",
    to: "    return ['True', 'Ready', 'the content of spec.source is coming; see status.import'];",
    test: 'test/unit/agent/conditions.test.ts',
  },
];
