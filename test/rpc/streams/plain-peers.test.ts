/** Streams and peers that support the plain Go protocol only. */
import { expect, test } from 'vitest';
import { Feed, feedRig } from '../../fixtures/feed.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce } from '../../fixtures/rpc.js';
import { jsonRequest } from '../../fixtures/rpc-frames.js';

noLeaks();

test('a streaming call to a plain server fails before it is sent', async () => {
  await using server = await RawServer.serve();
  await using client = await connectOnce(server.address);
  const stub = client.stub(Feed);
  for (const call of [() => stub.sum(['a']), () => stub.all(1)[Symbol.asyncIterator]().next()]) {
    await expect(call()).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      unsent: true,
      message: expect.stringContaining('does not support streams'),
    });
  }
  expect(server.requests.all).toEqual([]);
  client.destroy();
});

test('a streaming call of a plain client fails with the reason', async () => {
  await using s = await feedRig();
  await s.peer.send(jsonRequest('Feed', 'all', 3));
  const answer = await s.peer.frames.next();
  expect(answer.head.toString()).toContain('the plain Go protocol has no streams');
});
