/** Peers that send frames of streams which their call does not have. */
import { expect, test } from 'vitest';
import { contract, implement, serve, serverStream, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress } from '../../fixtures/rpc.js';
import { frameBytes, jsonRequest } from '../../fixtures/rpc-frames.js';
import { gate } from '../../fixtures/waiting.js';

const Feed = contract('Feed', {
  slow: unary<void, string>(),
  echo: unary<string, string>(),
  count: serverStream<void, number>(),
});

noLeaks();

const frame = (command: number, sequence: bigint, body = '', head = ''): Buffer =>
  frameBytes({ command, sequence, serviceId: 1, body, head });

test('messages of a stream to a unary call are refused with one answer', async () => {
  const held = gate();
  const service = implement(Feed, {
    slow: async () => {
      await held.promise;
      return 'late';
    },
    echo: (text) => text,
    async *count() {},
  });
  await using server = await serve(freeMemoryAddress(), [service]);
  await using peer = await RawPeer.connect(server.address);
  const items = Array.from({ length: 100 }, () => frame(5, 1n, '1'));
  await peer.send(
    jsonRequest('Feed', 'slow', undefined, { sequence: 1n, serviceId: 1 }),
    ...items,
    jsonRequest('Feed', 'echo', 'last', { sequence: 3n, serviceId: 1 }),
  );
  const [refusal, answer] = await peer.frames.take(2);
  expect([refusal?.sequence, refusal?.code]).toEqual([1n, expect.any(Number)]);
  expect(refusal?.head.toString()).toContain('their contracts differ');
  expect([answer?.sequence, answer?.body.toString()]).toEqual([3n, '"last"']);
  held.open();
});

test('a cancel frame of a server is no reply, and a call with replies has run', async () => {
  await using server = await RawServer.serve({}, ({ command, sequence }, peer) => {
    if (command !== 1) return false;
    void peer.send(frameBytes({ command: 2, serviceId: 2, sequence }));
    return true;
  });
  await using client = await connectOnce(server.address);
  const replies = client.stub(Feed).count()[Symbol.asyncIterator]();
  const first = replies.next();
  const { peer, sequence } = await server.requests.next();
  await peer.send(frame(5, sequence, '1'));
  expect((await first).value).toBe(1);
  const second = replies.next();
  await peer.send(frame(7, sequence), frame(5, sequence, '2'));
  expect((await second).value).toBe(2);
  const third = replies.next();
  await peer.send(frame(6, sequence, '', '{"Error":"full","Code":14,"Reason":"refused"}'));
  await expect(third).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    unsent: false,
    reason: undefined,
  });
});
