/** Bodies that the 16-bit length of the plain protocol cannot describe. */
import { describe, expect, test } from 'vitest';
import { contract, implement, type RpcError, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress, pendingOf } from '../../fixtures/rpc.js';
import { frameBytes, jsonRequest } from '../../fixtures/rpc-frames.js';
import { rejection } from '../../fixtures/transports.js';

noLeaks();

const Texts = contract(
  'Texts',
  { size: unary<string, number>(), make: unary<number, string>() },
  { version: 'v1' },
);
const texts = implement(Texts, {
  size: (text) => text.length,
  make: (size) => 'x'.repeat(size),
});

describe('a body over 65,535 bytes', () => {
  test('fails with FAILED_PRECONDITION before it is sent to a plain peer', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    // The first call is made before the client knows that the peer is plain.
    for (const [index, length] of [65_534, 100_000, 65_534].entries()) {
      const error = await rejection<RpcError>(client.stub(Texts).size('x'.repeat(length)));
      expect([error.code, error.unsent], `call ${index + 1}`).toEqual([
        'FAILED_PRECONDITION',
        true,
      ]);
    }
    expect(server.requests.all).toEqual([]);
    expect(pendingOf(client)).toBe(0);
    // With its two quotes this text has 65,535 bytes.
    const fits = client.stub(Texts).size('x'.repeat(65_533));
    const request = await server.requests.next();
    expect(request.body.length).toBe(65_535);
    request.peer.session.write(
      frameBytes({
        command: 4,
        serviceId: 1,
        sequence: request.sequence,
        head: '{"Error":""}',
        body: '65533',
      }),
    );
    expect(await fits).toBe(65_533);
  });

  test('is not sent to a peer whose kind is unknown', async () => {
    await using server = await RawServer.serve({}, () => true);
    await using client = await connectOnce(server.address, {
      heartbeatPeriod: 0,
    });
    expect(
      await rejection(client.stub(Texts).size('x'.repeat(70_000), { timeout: 30 })),
    ).toMatchObject({ code: 'DEADLINE_EXCEEDED', unsent: true });
    const peer = await server.peers.next();
    expect(peer.frames.all.filter(({ command }) => command === 3)).toEqual([]);
  });

  test('of a request of a plain peer is read by packageLength', async () => {
    await using server = await serve(freeMemoryAddress(), [texts]);
    await using peer = await RawPeer.connect(server.address);
    for (const length of [65_533, 65_534, 65_535, 131_070, 200_000]) {
      await peer.send(jsonRequest('Texts', 'size', 'x'.repeat(length)));
      expect((await peer.frames.next()).body.toString()).toBe(`${length}`);
    }
  });

  test('of an answer of a plain peer is read by packageLength', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    const answer = client.stub(Texts).make(100_000);
    const { sequence, peer } = await server.requests.next();
    peer.session.write(
      frameBytes({
        command: 4,
        sequence,
        serviceId: 1,
        head: '{"Error":""}',
        body: JSON.stringify('x'.repeat(100_000)),
      }),
    );
    expect(await answer).toHaveLength(100_000);
  });

  test('of a reply to a plain peer fails the call with RESOURCE_EXHAUSTED', async () => {
    await using server = await serve(freeMemoryAddress(), [texts]);
    await using peer = await RawPeer.connect(server.address);
    await peer.send(
      jsonRequest('Texts', 'make', 65_534),
      jsonRequest('Texts', 'make', 65_533, { sequence: 2n }),
    );
    const [refused, largest] = await peer.frames.take(2);
    expect([refused?.code, JSON.parse(`${refused?.head}`).Code, refused?.body.length]).toEqual([
      1, 8, 0,
    ]);
    expect([largest?.code, largest?.body.length]).toEqual([0, 65_535]);
  });

  test('is sent between extended peers in both directions, also by the first call', async () => {
    await using server = await serve(freeMemoryAddress(), [texts]);
    for (const length of [65_533, 65_534, 65_536, 131_072, 1_000_000]) {
      await using client = await connectOnce(server.address);
      expect(await client.stub(Texts).size('x'.repeat(length))).toBe(length);
      expect(await client.stub(Texts).make(length)).toHaveLength(length);
    }
  });

  test('fails with RESOURCE_EXHAUSTED if it exceeds maxMessageBytes of either side, and the session stays open', async () => {
    await using server = await serve(freeMemoryAddress(), [texts], {
      session: { maxMessageBytes: 100_000 },
    });
    await using client = await connectOnce(server.address, {
      session: { maxMessageBytes: 200_000 },
    });
    const stub = client.stub(Texts);
    expect(await rejection(stub.size('x'.repeat(300_000)))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
    });
    expect(await rejection(stub.make(150_000))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: false,
    });
    expect(await stub.make(50_000)).toHaveLength(50_000);
  });
});
