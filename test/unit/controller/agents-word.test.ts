import { describe, expect, test } from 'vitest';
import { lostPatch } from '../../../src/controller/lost-patch.ts';
import { isRemovedByAgent, withoutWord } from '../../../src/controller/objects/agents-word.ts';
import type { ManagedFieldsEntry } from '../../../src/kube/managed-fields.ts';
import { condition, volumeOf } from '../../builders/objects.ts';

const fieldsV1 = {
  'f:status': { 'f:conditions': { 'k:{"type":"Removed"}': { '.': {}, 'f:status': {}, 'f:reason': {} } } },
};
const ofAgent = { manager: 'btrfs-operator-agent/node-a', operation: 'Apply', subresource: 'status', fieldsV1 };
const removed = condition('Removed', 'True');
const deleting = { deletionTimestamp: '2026-01-01T00:00:00Z', generation: 7 };
const object = volumeOf({ metadata: deleting, status: { nodeName: 'node-a', conditions: [removed] } });

describe('isRemovedByAgent', () => {
  test('F37 of whatever generation the agent has said it', () => {
    expect(isRemovedByAgent({ object, managedFields: [{ ...ofAgent, manager: 'kubectl' }, ofAgent] })).toBe(true);
  });

  const words: readonly (readonly [title: string, entry: Partial<ManagedFieldsEntry>])[] = [
    ['nobody', { fieldsV1: {} }],
    ['who edits status', { manager: 'kubectl-patch', operation: 'Update' }],
    ['who edits status in the name of the agent', { operation: 'Update' }],
    ['the agent of another node', { manager: 'btrfs-operator-agent/node-b' }],
    ['the controller', { manager: 'btrfs-operator-controller' }],
    [
      'who applies a condition without its status',
      { fieldsV1: { 'f:status': { 'f:conditions': { 'k:{"type":"Removed"}': { '.': {} } } } } },
    ],
    [
      'who has said another condition',
      { fieldsV1: { 'f:status': { 'f:conditions': { 'k:{"type":"Ready"}': { 'f:status': {} } } } } },
    ],
    ['who applies, but not as status', { subresource: '' }],
  ];
  test.each(words)('F44 is no word of the agent: %s', (_, entry) => {
    expect(isRemovedByAgent({ object, managedFields: [{ ...ofAgent, ...entry }] })).toBe(false);
  });

  test.each([
    ['not deleted', volumeOf({ status: object.status })],
    ['on no node', volumeOf({ metadata: deleting, status: { conditions: [removed] } })],
    [
      'not removed',
      volumeOf({ metadata: deleting, status: { ...object.status, conditions: [condition('Removed', 'False')] } }),
    ],
    ['said by nobody', withoutWord(object)],
  ] as const)('F44 does not count of an object that is %s', (_, other) => {
    expect(isRemovedByAgent({ object: other, managedFields: [ofAgent] })).toBe(false);
  });
});

test('F44 lostPatch: the controller does not repeat in the name of an agent that something is removed', () => {
  const patch = lostPatch({ ...object, status: { ...object.status, conditions: [removed] } }, 'lost', new Date());
  expect(patch.map(({ op, path }) => `${op} ${path}`)).toEqual([
    'test /metadata/resourceVersion',
    'add /status/conditions/1',
  ]);
});
