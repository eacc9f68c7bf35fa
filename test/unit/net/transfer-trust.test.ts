import { once } from 'node:events';
import { request as plainRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { describe, expect, it, vi } from 'vitest';
import { tlsOptions } from '../../../src/net/transfer-tls.ts';
import { createTestAuthority } from '../../builders/certificates.ts';
import { contentOf, startEnds } from './transfer-ends.ts';

const serve = () => vi.fn(async () => ({ stream: Readable.from([Buffer.from('secret')]) }));

/** All that a TLS client gets to read, whatever the server does. */
function talk(port: number, options: ConnectionOptions, words: string): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () =>
      socket.write(words),
    );
    socket.on('data', (chunk) => {
      heard += String(chunk);
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(heard));
  });
}

const POST = `POST /v1/streams/default/target HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`;

describe('startTransferServer', () => {
  it.each([
    ['without a certificate', () => ({})],
    ['with a certificate of another authority', () => tlsOptions(createTestAuthority().identityOf('node-b'))],
    ['with an expired certificate', (own) => tlsOptions(own.identityOf('node-b', { endsInMs: -1_000 }))],
    [
      'with TLS 1.2',
      (own) => ({
        ...tlsOptions(own.identityOf('node-b')),
        minVersion: 'TLSv1.2',
        maxVersion: 'TLSv1.2',
        ciphers: 'DEFAULT',
      }),
    ],
  ] satisfies [string, (own: ReturnType<typeof createTestAuthority>) => ConnectionOptions][])(
    'says nothing to a client %s',
    async (_, optionsOf) => {
      const served = serve();
      const { server, authority } = await startEnds({ serve: served });
      expect(await talk(server.port, optionsOf(authority), POST)).toBe('');
      expect(served).not.toHaveBeenCalled();
    },
  );

  it('says nothing in plain text', async () => {
    const served = serve();
    const { server } = await startEnds({ serve: served });
    const outgoing = plainRequest({
      port: server.port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/v1/streams/default/target',
    });
    outgoing.end('{}');
    await expect(once(outgoing, 'response')).rejects.toThrow();
    expect(served).not.toHaveBeenCalled();
  });

  it.each([
    'btrfs-operator://node/',
    'btrfs-operator://node/a/b',
    'btrfs-operator://node/A',
    'https://node-b',
    'x://node/node-b',
  ])('refuses a certificate for %s', async (uri) => {
    const served = serve();
    const { fetch, authority } = await startEnds({ serve: served });
    const identity = authority.identityOf('node-b', { uri });
    await expect(fetch({ identity })).rejects.toMatchObject({ code: 'refused', reason: 'Forbidden' });
    expect(served).not.toHaveBeenCalled();
  });

  it.each([
    ['another method', 'PUT', '/v1/streams/default/target', '{}', 404],
    ['another path', 'POST', '/v1/streams/default', '{}', 404],
    ['a path that climbs', 'POST', '/v1/streams/default/../target', '{}', 404],
    ['no JSON', 'POST', '/v1/streams/default/target', '{', 400],
    ['no uid', 'POST', '/v1/streams/default/target', '{"ancestors":[]}', 400],
    [
      'an ancestor that is no uuid',
      'POST',
      '/v1/streams/default/target',
      '{"uid":"1","ancestors":[{"uuid":"../x"}]}',
      400,
    ],
    ['a body without end', 'POST', '/v1/streams/default/target', `"${'x'.repeat(400_000)}"`, 400],
  ])('refuses %s', async (_, method, path, body, status) => {
    const served = serve();
    const { server, authority } = await startEnds({ serve: served });
    const outgoing = httpsRequest({
      ...tlsOptions(authority.identityOf('node-b')),
      port: server.port,
      host: '127.0.0.1',
      method,
      path,
      agent: false,
      checkServerIdentity: () => undefined,
    });
    outgoing.on('error', () => undefined);
    outgoing.end(body);
    const [response] = await once(outgoing, 'response');
    expect(response.statusCode).toBe(status);
    expect(served).not.toHaveBeenCalled();
  });

  it('ends a connection on which nobody introduces himself', async () => {
    const { server, authority } = await startEnds();
    const silent = connect(server.port, '127.0.0.1');
    silent.on('error', () => undefined);
    const slow = talk(
      server.port,
      { ...tlsOptions(authority.identityOf('node-b')), checkServerIdentity: () => undefined },
      'POST /v1',
    );
    await once(silent, 'close');
    expect(await slow).not.toContain('200');
  });

  it('shows and believes what it was given last', async () => {
    const { server, fetch } = await startEnds();
    const other = createTestAuthority();
    server.setIdentity(other.identityOf('node-a'));
    await expect(fetch()).rejects.toMatchObject({ code: 'untrusted' });
    expect(String(await contentOf(fetch({ identity: other.identityOf('node-b') })))).toBe('stream');
  });

  it('believes both authorities while one takes over from the other', async () => {
    const { server, fetch, authority } = await startEnds();
    const other = createTestAuthority();
    const both = { trusts: authority.caPem + other.caPem };
    server.setIdentity(authority.identityOf('node-a', both));
    expect(String(await contentOf(fetch({ identity: other.identityOf('node-b', both) })))).toBe('stream');
    expect(String(await contentOf(fetch({ identity: authority.identityOf('node-b') })))).toBe('stream');
  });
});

describe('fetchStream', () => {
  it.each([
    ['is another node', 'node-c', {}],
    ['has an expired certificate', 'node-a', { endsInMs: -1_000 }],
    ['has a certificate for something else', 'node-a', { uri: 'https://node-a' }],
  ])('tells nothing to a peer that %s', async (_, nodeName, changes) => {
    const served = serve();
    const { server, authority, fetch } = await startEnds({ serve: served });
    server.setIdentity(authority.identityOf(nodeName, changes));
    await expect(fetch()).rejects.toMatchObject({ code: 'untrusted' });
    expect(served).not.toHaveBeenCalled();
  });

  it('tells nothing to a peer of another authority', async () => {
    const { server, fetch } = await startEnds();
    server.setIdentity(createTestAuthority().identityOf('node-a'));
    await expect(fetch()).rejects.toMatchObject({ code: 'untrusted' });
  });

  it('goes by the name of the node, also where that is an address', async () => {
    const { server, authority, fetch } = await startEnds();
    server.setIdentity(authority.identityOf('10.0.0.5'));
    expect(String(await contentOf(fetch({ nodeName: '10.0.0.5' })))).toBe('stream');
  });

  it('says what it may be when the peer does not accept its certificate', async () => {
    const { authority, fetch } = await startEnds();
    const identity = createTestAuthority().identityOf('node-b', { trusts: authority.caPem });
    await expect(fetch({ identity })).rejects.toMatchObject({
      code: 'broken',
      message: 'node node-a ended the connection without an answer; perhaps it does not accept our certificate',
    });
  });
});
