import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Change } from '../../../src/kube/object-store.ts';
import { type Reflector, startReflector } from '../../../src/kube/reflector.ts';
import { createResourceClient, type ResourceClient } from '../../../src/kube/resource-client.ts';
import type { Transport } from '../../../src/kube/transport.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { connect, createNamespace, ensureWidgetsServed, type Widget, widgetType } from './real-server.ts';
import { createRecordedLog } from './recorded-log.ts';

let transport: Transport;
let namespace: string;
let widgets: ResourceClient<Widget>;

beforeAll(async () => {
  transport = connect();
  await ensureWidgetsServed();
  namespace = await createNamespace();
  widgets = createResourceClient(transport, widgetType);
});

afterAll(async () => {
  await transport.close();
});

function follow(labelSelector: string, onChange: (change: Change<Widget>) => void): Reflector<Widget> {
  const { log } = createRecordedLog();
  return startReflector({ transport, type: widgetType, namespace, labelSelector, log, onChange });
}

describe('Reflector with a real API server', () => {
  test('the streaming list is used, and creates, updates and deletes arrive once each', async () => {
    const labels = { test: 'order' };
    const changes: string[] = [];
    const drafts = ['a', 'b'].map((name) => ({ metadata: { namespace, name, labels }, spec: { size: 1 } }));
    await Promise.all(drafts.map((draft) => widgets.create(draft)));
    await widgets.create({ metadata: { namespace, name: 'unselected' } });
    const reflector = follow('test=order', ({ kind, object }) => {
      changes.push(`${kind} ${object.metadata.name} ${object.spec?.size}`);
    });
    await reflector.synced();
    expect(changes.sort()).toEqual(['added a 1', 'added b 1']);
    await widgets.patch(`${namespace}/a`, { spec: { size: 2 } }, { type: 'merge' });
    await widgets.delete(`${namespace}/b`);
    await widgets.create({ metadata: { namespace, name: 'c', labels }, spec: { size: 3 } });
    await waitFor(() => changes.at(-1) === 'added c 3', { what: 'last change' });
    expect(changes.slice(2)).toEqual(['updated a 2', 'deleted b 1', 'added c 3']);
    expect([...reflector.values()].map(({ metadata }) => metadata.name).sort()).toEqual(['a', 'c']);
    await reflector.stop();
  });

  test('1000 objects are synced in one stream', async () => {
    const labels = { test: 'many' };
    const names = Array.from({ length: 1000 }, (_, i) => `many-${i}`);
    await Promise.all(names.map((name) => widgets.create({ metadata: { namespace, name, labels } })));
    let count = 0;
    const reflector = follow('test=many', () => count++);
    await reflector.synced();
    expect(count).toBe(1000);
    expect([...reflector.values()].some((widget) => 'managedFields' in widget.metadata)).toBe(false);
    await reflector.stop();
  });
});
