/** Requests that share a sequence, and many requests that fail. */
import { expect, test } from 'vitest';
import { answersOf, feedRequest, feedRig } from '../../fixtures/feed.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

test('the loss of a session aborts all its calls, also calls with the same sequence', async () => {
  await using s = await feedRig();
  for (const name of ['a', 'b', 'c']) await s.peer.send(feedRequest('wait', 3n, name));
  await s.peer.send(feedRequest('wait', 5n, 'd'));
  await until(() => [...s.server.channels][0]?.serving === 4, 'all calls are in flight');
  s.peer.session.destroy();
  await until(() => s.aborted.length === 4, 'all calls are aborted');
  expect(s.aborted.sort()).toEqual(['a', 'b', 'c', 'd']);
});

test('failed oneway calls write 100 lines at once to the log, and then 10 per second', async () => {
  await using s = await feedRig();
  const failing = Buffer.concat(
    Array.from({ length: 1_000 }, (_, n) =>
      frameBytes({
        sequence: BigInt(2 * n + 3),
        serviceId: 1,
        head: JSON.stringify({
          Service: 'Feed',
          Method: n % 2 === 0 ? 'fail' : 'isNot',
          CallType: 'CT_OneWay',
        }),
        body: '"x"',
      }),
    ),
  );
  const began = performance.now();
  await s.peer.send(failing, feedRequest('ask', 99_999n, 1));
  await answersOf(s.peer, 1);
  const seconds = (performance.now() - began) / 1_000;
  expect(s.log.warnings.all.length).toBeGreaterThanOrEqual(100);
  expect(s.log.warnings.all.length).toBeLessThanOrEqual(100 + Math.ceil(10 * seconds));
});
