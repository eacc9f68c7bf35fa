import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import { createEventRecorder, type EventRecorder, type EventSubject } from '../../../src/kube/events.ts';
import { createResourceClient, type ResourceClient } from '../../../src/kube/resource-client.ts';
import { type Event, eventType } from '../../../src/kube/resource-types.ts';
import { createTransport, type Transport } from '../../../src/kube/transport.ts';
import { callApi } from '../../cluster/api.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { refuse, silence, startMisbehavingServer } from '../../fakes/misbehaving-server.ts';
import { connect, createNamespace } from './real-server.ts';
import { createRecordedLog } from './recorded-log.ts';

let transport: Transport;
let events: ResourceClient<Event>;
let recorder: EventRecorder;
let clock: ManualClock;
let subject: EventSubject;

beforeEach(async () => {
  transport = connect();
  events = createResourceClient(transport, eventType);
  clock = new ManualClock();
  const { log } = createRecordedLog();
  recorder = createEventRecorder({ transport, controller: 'example.com/agent', instance: 'node-a', log, clock });
  subject = subjectIn(await createNamespace());
});

afterEach(async () => {
  await transport.close();
});

function subjectIn(namespace: string | undefined, name = 'demo'): EventSubject {
  const metadata = { name, namespace, uid: `uid-${namespace}-${name}`, resourceVersion: '1' };
  return { apiVersion: 'example.com/v1', kind: 'Thing', metadata };
}

async function recorded(): Promise<Event[]> {
  await recorder.flush();
  return await events.list({ namespace: subject.metadata.namespace });
}

describe('EventRecorder', () => {
  test('an event is accepted with all its fields', async () => {
    recorder.record(subject, 'Warning', 'TooSmall', 'Resize', 'size "1Mi" is too small');
    const [event] = await recorded();
    expect(event).toMatchObject({
      type: 'Warning',
      reason: 'TooSmall',
      action: 'Resize',
      note: 'size "1Mi" is too small',
      reportingController: 'example.com/agent',
      regarding: { apiVersion: 'example.com/v1', kind: 'Thing', name: 'demo', uid: subject.metadata.uid },
    });
    expect(event?.metadata.name).toMatch(/^demo\.[0-9a-f]{16}$/);
  });

  test('an event of a cluster-scoped object goes to the namespace default', async () => {
    const node = subjectIn(undefined, `node-${subject.metadata.namespace}`);
    recorder.record(node, 'Normal', 'Started', 'Start', 'agent started');
    await recorder.flush();
    const found = await events.list({ namespace: 'default', fieldSelector: 'reason=Started' });
    expect(found.filter(({ regarding }) => regarding?.name === node.metadata.name)).toHaveLength(1);
  });

  test('a long note is cut at 1024 bytes between characters, a long name leaves room for its suffix', async () => {
    const long = subjectIn(subject.metadata.namespace, `${'n'.repeat(235)}.${'m'.repeat(17)}`);
    recorder.record(long, 'Normal', 'R'.repeat(200), 'A', 'ä'.repeat(600));
    recorder.record(long, 'Normal', 'Odd', 'A', `x${'ä'.repeat(600)}`);
    const found = await recorded();
    expect(found.map(({ note }) => Buffer.byteLength(note ?? '')).sort()).toEqual([1023, 1024]);
    expect(found.every(({ note }) => !note?.includes('\uFFFD'))).toBe(true);
  });

  test('repetitions are one event with a count, written at most once a minute', async () => {
    const repeat = () => recorder.record(subject, 'Normal', 'Again', 'Repeat', 'the same');
    repeat();
    expect((await recorded())[0]?.series ?? undefined).toBeUndefined();
    repeat();
    expect(await recorded()).toMatchObject([{ series: { count: 2 } }]);
    for (let i = 0; i < 5; i++) repeat();
    expect(await recorded()).toMatchObject([{ series: { count: 2 } }]);
    await clock.advance(61_000);
    repeat();
    expect(await recorded()).toMatchObject([{ series: { count: 8 } }]);
  });

  test('after 10 minutes of silence the same is a new event', async () => {
    recorder.record(subject, 'Normal', 'Again', 'Repeat', 'the same');
    await clock.advance(600_001);
    recorder.record(subject, 'Normal', 'Again', 'Repeat', 'the same');
    expect(await recorded()).toHaveLength(2);
  });

  test('a repetition of an event that has expired makes it anew', async () => {
    recorder.record(subject, 'Normal', 'Again', 'Repeat', 'the same');
    const [event] = await recorded();
    const namespace = subject.metadata.namespace;
    await callApi(inject('api'), `/apis/events.k8s.io/v1/namespaces/${namespace}/events/${event?.metadata.name}`, {
      method: 'DELETE',
    });
    recorder.record(subject, 'Normal', 'Again', 'Repeat', 'the same');
    expect(await recorded()).toMatchObject([{ series: { count: 2 } }]);
  });

  test('25 different events of one object at once, then one each 300 s; others are not held back', async () => {
    for (let i = 0; i < 40; i++) recorder.record(subject, 'Normal', 'Storm', 'Storm', `note ${i}`);
    expect(await recorded()).toHaveLength(25);
    recorder.record(subjectIn(subject.metadata.namespace, 'other'), 'Normal', 'Calm', 'Storm', 'note');
    await clock.advance(300_000);
    recorder.record(subject, 'Normal', 'Storm', 'Storm', 'later 1');
    recorder.record(subject, 'Normal', 'Storm', 'Storm', 'later 2');
    expect(await recorded()).toHaveLength(27);
  });

  test('what the server refuses is logged at debug, and the queue has an end', async () => {
    await using server = await startMisbehavingServer();
    server.script(refuse(403));
    const { log, lines } = createRecordedLog();
    const refused = createTransport(loadKubeConfig({ kubeconfigPath: server.kubeconfigPath }), { userAgent: 'test' });
    const failing = createEventRecorder({ transport: refused, controller: 'example.com/a', instance: 'a', log, clock });
    for (let i = 0; i < 1100; i++) failing.record(subjectIn('ns', `o${i}`), 'Normal', 'R', 'A', 'note');
    await failing.flush();
    expect(server.received).toHaveLength(1000);
    expect(lines.filter(({ msg }) => msg === 'event not sent')).toHaveLength(1000);
    expect(lines.filter(({ msg }) => msg === 'event dropped')).toHaveLength(100);
    expect(lines.every(({ level }) => level === 20)).toBe(true);
    await refused.close();
  });

  test('F38 flush waits 3 s for a server that does not answer, and drops what is left', async () => {
    await using server = await startMisbehavingServer();
    server.script(silence());
    const { log } = createRecordedLog();
    const hung = createTransport(loadKubeConfig({ kubeconfigPath: server.kubeconfigPath }), { userAgent: 'test' });
    const stopping = createEventRecorder({ transport: hung, controller: 'example.com/a', instance: 'a', log });
    for (let i = 0; i < 1000; i++) stopping.record(subjectIn('ns', `o${i}`), 'Normal', 'R', 'A', 'note');
    const beganMs = performance.now();
    await stopping.flush();
    const tookMs = performance.now() - beganMs;
    expect(tookMs).toBeGreaterThan(2_900);
    expect(tookMs).toBeLessThan(5_000);
    expect(server.received).toHaveLength(1);
    await hung.close();
  });
});
