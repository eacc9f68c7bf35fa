import { describe, expect, test } from 'vitest';
import { formatMicroTime, keyOf, parseKey } from '../../../src/kube/object.ts';
import { collectionPath, objectPath } from '../../../src/kube/resource-path.ts';
import { leaseType, nodeType } from '../../../src/kube/resource-types.ts';

describe('keyOf and parseKey', () => {
  test.each([
    ['ns', 'ns/a'],
    [undefined, 'a'],
  ])('namespace %j: %s and back', (namespace, key) => {
    expect(keyOf({ metadata: { name: 'a', namespace } })).toBe(key);
    expect(parseKey(key)).toEqual({ name: 'a', namespace });
  });

  test('an empty namespace is none', () => {
    expect(keyOf({ metadata: { name: 'a', namespace: '' } })).toBe('a');
  });
});

test('formatMicroTime writes six digits', () => {
  expect(formatMicroTime(new Date('2026-10-20T08:00:00.852Z'))).toBe('2026-10-20T08:00:00.852000Z');
});

describe('paths', () => {
  test.each([
    [collectionPath(nodeType), '/api/v1/nodes'],
    [collectionPath(nodeType, 'ns'), '/api/v1/nodes'],
    [collectionPath(leaseType), '/apis/coordination.k8s.io/v1/leases'],
    [collectionPath(leaseType, 'ns'), '/apis/coordination.k8s.io/v1/namespaces/ns/leases'],
    [objectPath(nodeType, 'a'), '/api/v1/nodes/a'],
    [objectPath(leaseType, 'ns/a', 'status'), '/apis/coordination.k8s.io/v1/namespaces/ns/leases/a/status'],
    [objectPath(leaseType, 'ns/../a?b'), '/apis/coordination.k8s.io/v1/namespaces/ns/leases/..%2Fa%3Fb'],
  ])('%s', (path, expected) => {
    expect(path).toBe(expected);
  });

  test.each(['a', 'ns/'])('%j is no key of a namespaced kind', (key) => {
    expect(() => objectPath(leaseType, key)).toThrow(`"${key}" is no key of a namespaced Lease`);
  });

  test('a namespace is no part of a cluster-scoped key', () => {
    expect(() => objectPath(nodeType, 'ns/a')).toThrow('"ns/a" is no key of a cluster-scoped Node');
  });
});

describe('resource types', () => {
  const metadata = { name: 'a', uid: 'u', resourceVersion: '1' };

  test('a core type parses its own kind and nothing else', () => {
    const node = { apiVersion: 'v1', kind: 'Node', metadata };
    expect(nodeType.parse(node)).toBe(node);
    expect(() => nodeType.parse({ ...node, kind: 'Pod' })).toThrow('not a v1 Node: "v1 Pod"');
    expect(() => nodeType.parse({ ...node, metadata: { ...metadata, uid: undefined } })).toThrow(
      'without metadata.uid',
    );
    expect(() => nodeType.parse(null)).toThrow('not a v1 Node');
  });
});
