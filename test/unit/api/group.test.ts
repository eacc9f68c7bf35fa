import { expect, test } from 'vitest';
import { agentLeaseName, agentManager } from '../../../src/api/group.ts';

const longest = (last: string) => `${'a'.repeat(252)}${last}`;

test('agentManager: a usual node name stands in it as it is', () => {
  expect(agentManager('node-a.example.com')).toBe('btrfs-operator-agent/node-a.example.com');
  expect(agentManager('a'.repeat(107))).toBe(`btrfs-operator-agent/${'a'.repeat(107)}`);
});

test('agentManager: stays within 128 characters, is stable and tells long names apart', () => {
  expect(agentManager(longest('b'))).toHaveLength(128);
  expect(agentManager(longest('b'))).toBe(agentManager(longest('b')));
  expect(agentManager(longest('b'))).not.toBe(agentManager(longest('c')));
});

test('agentLeaseName: is a DNS subdomain of 253 characters at most, also where the cut falls on a dot', () => {
  expect(agentLeaseName('node-a')).toBe('btrfs-operator-agent-node-a');
  const dotted = `${'a'.repeat(214)}.${'b'.repeat(38)}`;
  for (const node of [longest('b'), dotted]) {
    expect(agentLeaseName(node).length).toBeLessThanOrEqual(253);
    expect(agentLeaseName(node)).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
  }
});
