/** `getty proxy`: what it shows, over each transport. */
import { existsSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { printable } from '../../../src/cli/output/printable.js';
import { type RpcClientOptions, type RpcServerOptions, serve } from '../../../src/rpc/index.js';
import { parseAddress } from '../../../src/transport/address.js';
import { SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce } from '../../fixtures/rpc.js';
import { frameBytes, jsonRequest, RECORDED, recordedFrames } from '../../fixtures/rpc-frames.js';
import { pemPath } from '../../fixtures/tls-endpoints.js';
import { Inbox, turns, until, within } from '../../fixtures/waiting.js';
import { Greeter, greeter, temporaryFolder } from '../greeter-servers.js';
import { startProxyCommand } from '../proxy/running-proxy.js';
import { getty } from '../run-getty.js';

noLeaks();

const TCP = 'tcp://127.0.0.1:0';

interface Row {
  readonly name: string;
  /** `DIR` stands for a temporary directory. */
  readonly server: string;
  readonly listen: string;
  readonly serverOptions?: RpcServerOptions;
  readonly clientOptions?: RpcClientOptions;
  readonly args?: readonly string[];
  /** Datagrams have no streams. */
  readonly hasStreams?: false;
}

const CA = ['--ca', pemPath('authority')];
const ROWS: readonly Row[] = [
  { name: 'tcp', server: TCP, listen: TCP },
  { name: 'unix', server: 'unix://DIR/server', listen: 'unix://DIR/proxy' },
  { name: 'tcp to unix', server: 'unix://DIR/server', listen: TCP },
  { name: 'udp', server: 'udp://127.0.0.1:0', listen: 'udp://127.0.0.1:0', hasStreams: false },
  { name: 'ws', server: 'ws://127.0.0.1:0/rpc', listen: 'ws://127.0.0.1:0' },
  {
    name: 'ws with permessage-deflate',
    server: 'ws://127.0.0.1:0/rpc',
    listen: 'ws://127.0.0.1:0',
    serverOptions: { session: { compression: 'deflate' } },
    clientOptions: { session: { compression: 'deflate' } },
  },
  { name: 'tcp in slices', server: TCP, listen: TCP, args: ['--slice', '3'] },
  {
    name: 'ws in slices',
    server: 'ws://127.0.0.1:0/rpc',
    listen: 'ws://127.0.0.1:0',
    args: ['--slice', '3'],
  },
  {
    name: 'tcp to tls',
    server: 'tls://127.0.0.1:0',
    listen: TCP,
    serverOptions: { tls: SERVER_TLS },
    args: CA,
  },
  {
    name: 'ws to wss',
    server: 'wss://127.0.0.1:0/rpc',
    listen: 'ws://127.0.0.1:0',
    serverOptions: { tls: SERVER_TLS },
    args: CA,
  },
];

describe.each(ROWS)('over $name', (row) => {
  const { args = [], hasStreams = true } = row;

  async function start(...more: readonly string[]) {
    const folder = await temporaryFolder();
    const at = (text: string): string => text.replace('DIR', folder.path);
    const notes = new Inbox<string>('a note');
    const server = await serve(at(row.server), [greeter('s', notes)], row.serverOptions);
    const proxy = await startProxyCommand([at(row.listen), server.address, ...args, ...more]);
    const client = await connectOnce(proxy.address, row.clientOptions);
    return {
      proxy,
      client,
      notes,
      stub: client.stub(Greeter),
      async [Symbol.asyncDispose]() {
        await client.close();
        expect(await proxy.stop()).toBe(0);
        server.destroy();
        await server.close();
        if (proxy.address.startsWith('unix:'))
          expect(existsSync(`${folder.path}/proxy`)).toBe(false);
        await folder[Symbol.asyncDispose]();
      },
    };
  }

  test('shows calls and their answers', async () => {
    await using all = await start('--body');
    const { stub, proxy } = all;
    const metadata = { 'x-request-id': 'r1', authorization: 'Bearer secret' };
    expect(await stub.hello('world', { metadata, timeout: 90_000 })).toBe('hello, world from s');
    const request = await proxy.record({ kind: 'request' });
    expect(request).toMatchObject({
      connection: 1,
      direction: 'toServer',
      service: 'Greeter',
      method: 'hello',
      version: 'v1',
      codec: 'json',
      metadata: { 'x-request-id': 'r1', authorization: '*** (13 characters)' },
      bodyBytes: 7,
      body: 'world',
    });
    expect(request.timeout).toBeGreaterThan(0);
    const { sequence } = request;
    expect(await proxy.record({ kind: 'answer', sequence })).toMatchObject({
      direction: 'toClient',
      method: 'hello',
      code: 'OK',
      body: 'hello, world from s',
      duration: expect.any(Number),
    });
    expect(proxy.command.stdout.text).not.toContain('secret');
    await expect(stub.fail('nothing there')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await proxy.record({ code: 'NOT_FOUND' })).toMatchObject({
      kind: 'answer',
      method: 'fail',
      message: 'nothing there',
    });
    await stub.hello('x'.repeat(5_000));
    await proxy.record({ kind: 'request', bodyBytes: 5_002 });
    await stub.note('a');
    await all.notes.next();
    await stub.mark('b');
    expect(await proxy.record({ method: 'note' })).toMatchObject({ callKind: 'oneway' });
    expect(await proxy.record({ method: 'mark' })).toMatchObject({ callKind: 'noReply' });
    expect(await proxy.record({ method: 'mark', kind: 'answer' })).toMatchObject({ code: 'OK' });
  });

  test.runIf(hasStreams)('shows streams, and calls that are cancelled', async () => {
    await using all = await start('--body');
    const { stub, proxy } = all;
    for await (const _ of stub.count(2));
    expect(await proxy.record({ kind: 'end', method: 'count' })).toMatchObject({ code: 'OK' });
    const items = proxy.records().filter(({ kind }) => kind === 'item');
    expect(items.map(({ body, method }) => [body, method])).toEqual([
      [1, 'count'],
      [2, 'count'],
    ]);
    expect(await stub.sum([3, 4])).toBe(7);
    expect(await proxy.record({ kind: 'end', method: 'sum', direction: 'toServer' })).toBeDefined();
    for await (const _ of stub.count(1_000_000)) break;
    expect(await proxy.record({ kind: 'cancel' })).toMatchObject({
      direction: 'toServer',
      method: 'count',
    });
  });
});

describe('getty proxy', () => {
  test('writes a line for each frame, without bodies and secrets', async () => {
    await using server = await serve(TCP, [greeter('s')]);
    await using proxy = await startProxyCommand([TCP, server.address], true);
    expect(proxy.address).toMatch(/^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
    await using client = await connectOnce(proxy.address);
    await client.stub(Greeter).hello('private', { metadata: { 'x-api-key': 'k1' } });
    await until(() => proxy.command.stdout.text.includes(' OK '), 'the answer');
    const text = proxy.command.stdout.text;
    expect(text).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} {2}#1 → {2}request {4}[0-9a-f]{8} {2}Greeter\.hello v1 {2}json {2}timeout \d+ ms {2}9 bytes {2}\{"x-api-key":"\*\*\* \(2 characters\)"\}$/m,
    );
    expect(text).toMatch(
      /#1 ← {2}answer {5}[0-9a-f]{8} {2}Greeter\.hello {2}OK {2}json {2}\d+ bytes/,
    );
    expect(text).not.toMatch(/private|k1/);
  });

  test('shows secrets with --show-secrets, and cuts bodies at --body-limit', async () => {
    await using server = await serve(TCP, [greeter('s')]);
    const options = ['--show-secrets', '--body-limit', '10'];
    await using proxy = await startProxyCommand([TCP, server.address, ...options]);
    await using client = await connectOnce(proxy.address);
    await client.stub(Greeter).hello('a'.repeat(50), { metadata: { token: 't1' } });
    expect(await proxy.record({ kind: 'request' })).toMatchObject({
      metadata: { token: 't1' },
      bodyBytes: 52,
      bodyText: '"aaaaaaaa…',
    });
  });

  test('passes recorded frames of Go on unchanged, and shows them', async () => {
    await using server = await RawServer.serve({ address: TCP });
    await using proxy = await startProxyCommand([TCP, server.address, '--body']);
    await using client = await RawPeer.connect(proxy.address);
    const requests = recordedFrames(0, 'client-to-server');
    const answers = recordedFrames(0, 'server-to-client');
    await client.send(...requests);
    const peer = await server.peers.next();
    const isComplete = (chunks: readonly Buffer[], frames: readonly Buffer[]): boolean =>
      Buffer.concat(chunks).equals(Buffer.concat(frames));
    await until(() => isComplete(peer.chunks, requests), 'the bytes at the server');
    // The server has answered heartbeats by itself.
    const before = Buffer.concat(client.chunks).length;
    await peer.send(...answers);
    await until(
      () => isComplete([Buffer.concat(client.chunks).subarray(before)], answers),
      'the bytes at the client',
    );
    const recorded = RECORDED.filter(({ connection, command }) => connection === 0 && command > 2);
    for (const { sequence, command, body, code } of recorded) {
      const kind = command === 3 ? 'request' : 'answer';
      const shown = await proxy.record({ sequence, kind });
      expect(shown).toMatchObject({ service: 'TestService' });
      if (body) expect(shown.body).toEqual(JSON.parse(body));
      if (kind === 'answer') expect(shown.code).toBe(code === 0 ? 'OK' : 'UNKNOWN');
    }
  });

  test('passes bytes that are no frames on, and shows the first of them', async () => {
    await using server = await RawServer.serve({ address: TCP });
    await using proxy = await startProxyCommand([TCP, server.address], true);
    await using client = await RawPeer.connect(proxy.address);
    const bytes = Buffer.from(`GET / HTTP/1.1\r\n\u001b[2J${'x'.repeat(100)}`);
    await client.send(bytes);
    const peer = await server.peers.next();
    await until(() => Buffer.concat(peer.chunks).equals(bytes), 'the bytes at the server');
    await until(() => proxy.command.stdout.text.includes('bytes'), 'the line');
    expect(proxy.command.stdout.text).toContain(
      `${bytes.length} bytes  47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a 1b 5b 32 4a`,
    );
    expect(proxy.command.stdout.text).toContain('GET / HTTP/1.1...[2Jx');
  });

  test('writes nothing of a peer that controls a terminal', async () => {
    await using server = await RawServer.serve({ address: TCP });
    for (const isText of [true, false]) {
      await using proxy = await startProxyCommand([TCP, server.address, '--body'], isText);
      await using client = await RawPeer.connect(proxy.address);
      const evil = '\u001b[2J\u009b1m\u202e\r\n';
      const more = { Version: evil, Metadata: { [evil]: evil } };
      await client.send(jsonRequest(evil, evil, evil, { more }));
      await client.send(frameBytes({ command: 4, code: 1, head: JSON.stringify({ Error: evil }) }));
      await client.send(frameBytes({ command: 5, body: evil }));
      await until(() => proxy.command.stdout.text.includes('item'), 'the frames');
      for (const line of proxy.command.lines.all) expect(printable(line, 10_000)).toBe(line);
      expect(proxy.command.stdout.text.trim().split('\n')).toHaveLength(4);
    }
  });

  test('tells of a frame that the connection has not completed', async () => {
    await using server = await RawServer.serve({ address: TCP });
    await using proxy = await startProxyCommand([TCP, server.address]);
    const client = await RawPeer.connect(proxy.address);
    await client.send(jsonRequest('Greeter', 'hello', 'world').subarray(0, 50));
    const peer = await server.peers.next();
    await until(() => Buffer.concat(peer.chunks).length === 50, 'the bytes at the server');
    await client[Symbol.asyncDispose]();
    expect(await proxy.record({ text: 'the connection ended within a frame' })).toMatchObject({
      direction: 'toServer',
    });
    expect(await proxy.record({ bytes: 50 })).toMatchObject({ kind: 'bytes' });
    await proxy.record({ kind: 'close' });
  });

  test('says why a connection to the target fails, and goes on', async () => {
    const closed = await RawServer.serve({ address: TCP });
    const { address } = closed;
    await closed[Symbol.asyncDispose]();
    await using proxy = await startProxyCommand([TCP, address]);
    const client = await RawPeer.connect(proxy.address);
    await client.end();
    const { text } = await proxy.record({ kind: 'close', connection: 1 });
    expect(text).toMatch(/^the target: .*ECONNREFUSED/);
    await client[Symbol.asyncDispose]();
    const again = await RawPeer.connect(proxy.address);
    await again.end();
    await proxy.record({ kind: 'close', connection: 2 });
    await again[Symbol.asyncDispose]();
  });

  test('says that the certificate of the target is not trusted', async () => {
    await using server = await serve('tls://127.0.0.1:0', [greeter('s')], { tls: SERVER_TLS });
    await using proxy = await startProxyCommand([TCP, server.address]);
    await using client = await RawPeer.connect(proxy.address);
    await client.end();
    const { text } = await proxy.record({ kind: 'close' });
    expect(text).toMatch(/^the target: .*certificate/);
  });

  test('refuses more connections than --max-connections', async () => {
    await using server = await RawServer.serve({ address: TCP });
    await using proxy = await startProxyCommand([TCP, server.address, '--max-connections', '1']);
    await using first = await RawPeer.connect(proxy.address);
    await server.peers.next();
    const { port } = parseAddress(proxy.address, ['tcp']);
    const second = connectSocket(port, '127.0.0.1');
    const lost = new Promise<void>((resolve) => second.on('close', () => resolve()));
    second.on('error', () => {});
    await within(lost, 'the end of the second connection');
    expect(await proxy.record({ kind: 'refused' })).toMatchObject({ connection: 2 });
    await first.send(frameBytes({ command: 1 }));
    expect(await proxy.record({ kind: 'heartbeat answer' })).toMatchObject({ connection: 1 });
  });

  test('shows a handshake without its query, and nothing of one that is refused', async () => {
    await using server = await serve('ws://127.0.0.1:0/rpc', [greeter('s')]);
    await using proxy = await startProxyCommand(['ws://127.0.0.1:0', server.address]);
    expect(proxy.address).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/rpc$/);
    const client = connectOnce(`${proxy.address}x?token=secret`, { connectTimeout: 30_000 });
    await expect(client).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
    expect(await proxy.record({ kind: 'handshake' })).toMatchObject({ text: 'GET /rpcx?***' });
    expect(await proxy.record({ direction: 'toClient' })).toMatchObject({
      kind: 'handshake',
      text: expect.stringMatching(/^4\d\d /),
    });
  });

  test('gives up to decode what is no WebSocket, and passes it on', async () => {
    await using server = await RawServer.serve({ address: TCP });
    const target = server.address.replace('tcp:', 'ws:');
    await using proxy = await startProxyCommand(['ws://127.0.0.1:0', target]);
    await using client = await RawPeer.connect(proxy.address.replace('ws:', 'tcp:'));
    await client.send(Buffer.alloc(20_000, 'x'));
    const peer = await server.peers.next();
    await until(() => Buffer.concat(peer.chunks).length === 20_000, 'the bytes at the server');
    expect(await proxy.record({ kind: 'undecoded' })).toMatchObject({
      text: 'from here on: the client begins no WebSocket',
    });
  });

  test('does not read more than the target takes', async () => {
    await using server = await RawServer.serve({ address: TCP });
    await using proxy = await startProxyCommand([TCP, server.address]);
    const { port } = parseAddress(proxy.address, ['tcp']);
    const client = connectSocket(port, '127.0.0.1');
    const peer = await server.peers.next();
    peer.session.pause();
    const heartbeats = Buffer.concat(
      Array.from({ length: 2_048 }, () => frameBytes({ command: 1 })),
    );
    let written = 0;
    // The buffers of the system have a few MiB for each of the two connections.
    while (written < 256 * 1024 * 1024 && client.writableLength < 1024 * 1024) {
      client.write(heartbeats);
      written += heartbeats.length;
      await turns(2);
    }
    expect(written).toBeLessThan(256 * 1024 * 1024);
    client.destroy();
    peer.session.destroy();
    await proxy.record({ kind: 'close' });
  });

  test('passes frames of each size on unchanged', async () => {
    await using server = await RawServer.serve({ address: TCP });
    await using proxy = await startProxyCommand([TCP, server.address, '--body-limit', '20']);
    await using client = await RawPeer.connect(proxy.address);
    const sizes = [0, 1, 65_535, 65_536, 70_000, 900_000];
    const frames = sizes.map((size, at) =>
      frameBytes({ command: 5, sequence: BigInt(at), body: Buffer.alloc(size, '7') }),
    );
    await client.send(...frames);
    const peer = await server.peers.next();
    const all = Buffer.concat(frames);
    await until(() => Buffer.concat(peer.chunks).length === all.length, 'all bytes');
    expect(Buffer.concat(peer.chunks).equals(all)).toBe(true);
    for (const [at, bodyBytes] of sizes.entries())
      expect(await proxy.record({ sequence: String(at) })).toMatchObject({ bodyBytes });
  });

  test('makes faults', async () => {
    await using server = await serve(TCP, [greeter('s')]);
    const faults = ['--latency', '30±10ms', '--slice', '7', '--bandwidth', '1M'];
    await using proxy = await startProxyCommand([TCP, server.address, ...faults]);
    await using client = await connectOnce(proxy.address);
    const start = performance.now();
    await client.stub(Greeter).hello('world', { timeout: 300_000 });
    // 20 ms in each direction.
    expect(performance.now() - start).toBeGreaterThanOrEqual(39);
    expect(await proxy.record({ kind: 'answer' })).toMatchObject({ method: 'hello', code: 'OK' });
  });

  test('resets connections with --reset-after', async () => {
    await using server = await RawServer.serve({ address: TCP });
    await using proxy = await startProxyCommand([TCP, server.address, '--reset-after', '10ms']);
    await using client = await RawPeer.connect(proxy.address);
    await client.end();
    await proxy.record({ kind: 'close' });
  });

  test.each([
    [['tcp://127.0.0.1:0'], /missing required argument 'target'/],
    [['nope', 'tcp://127.0.0.1:1'], /LISTEN: got "nope", expected tcp:\/\/ or unix:\/\//],
    [[TCP, 'nope'], /TARGET: got "nope", expected tcp:\/\/host:port/],
    [[TCP, 'etcd://127.0.0.1:2379/x'], /TARGET: got "etcd:.*expected tcp/],
    [[TCP, 'memory://a'], /TARGET: got "memory:/],
    [[TCP, 'tcp://127.0.0.1:99999'], /BAD_ADDRESS: .*port out of range/],
    [['tcp://127.0.0.1', 'tcp://127.0.0.1:1'], /BAD_ADDRESS: .*without a port/],
    [['tls://127.0.0.1:0', 'tls://127.0.0.1:1'], /cannot read what a client encrypts/],
    [['udp://127.0.0.1:0', 'tcp://127.0.0.1:1'], /LISTEN: .*expected tcp:/],
    [['tcp://127.0.0.1:1', 'tcp://127.0.0.1:1'], /expected another address than LISTEN/],
    [[TCP, 'tcp://127.0.0.1:1', '--latency', 'x'], /--latency: got "x", expected a delay/],
    [[TCP, 'tcp://127.0.0.1:1', '--loss', '1%'], /--loss: it is a fault of datagrams/],
    [
      ['udp://127.0.0.1:0', 'udp://127.0.0.1:1', '--slice', '9'],
      /--slice: it is a fault of streams/,
    ],
    [[TCP, 'tcp://127.0.0.1:1', '--proto', '/nope'], /--proto: \/nope is no descriptor set/],
    [[TCP, 'tls://127.0.0.1:1', '--ca', '/nope'], /--ca: the file cannot be read/],
  ])('%j is a wrong command line', async (args, message) => {
    const { code, stdout, stderr } = await getty('proxy', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.split('\n')).toHaveLength(2);
  });

  test('says what to do if the address is in use', async () => {
    await using server = await RawServer.serve({ address: TCP });
    const { code, stderr } = await getty('proxy', server.address, 'tcp://127.0.0.1:1');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^getty proxy: LISTEN_FAILED: .*EADDRINUSE.*Port 0 selects.*\n$/);
    await using folder = await temporaryFolder();
    const missing = `unix://${join(folder.path, 'none', 'socket')}`;
    expect(await getty('proxy', missing, 'tcp://127.0.0.1:1')).toMatchObject({ code: 1 });
  });
});
