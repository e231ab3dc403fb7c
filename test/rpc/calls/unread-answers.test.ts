/** The limit of the answers that wait for a slow peer. */
import { describe, expect, test } from 'vitest';
import { contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer } from '../../fixtures/raw-peer.js';
import {
  channelOf,
  connectOnce,
  freeMemoryAddress,
  Log,
  outcome,
  TestService,
  testService,
  watchSessions,
} from '../../fixtures/rpc.js';
import { jsonRequest } from '../../fixtures/rpc-frames.js';
import { gate, turns, until } from '../../fixtures/waiting.js';

noLeaks();

describe('a peer that does not read its answers', () => {
  const Big = contract('Big', { now: unary<number, string>(), later: unary<number, string>() });
  const LIMITS = { highWaterMark: 64 * 1024, maxQueuedBytes: 512 * 1024 };
  const REPLY = 10_000;
  const permission = gate();
  const big = implement(Big, {
    now: () => 'x'.repeat(REPLY),
    later: async () => {
      await permission.promise;
      return 'x'.repeat(REPLY);
    },
  });
  const requests = (method: string, count: number, from = 0): Buffer =>
    Buffer.concat(
      Array.from({ length: count }, (_, n) =>
        jsonRequest('Big', method, n, { sequence: BigInt(from + n) }),
      ),
    );

  test('is paused at highWaterMark, and gets all answers when it reads again', async () => {
    using watched = watchSessions();
    await using server = await serve(freeMemoryAddress(), [big], { session: LIMITS });
    await using peer = await RawPeer.connect(server.address);
    await channelOf(server);
    const session = [...watched.open].find(({ endpoint }) => endpoint.type === 'server');
    peer.session.pause();
    let most = 0;
    for (let round = 0; round < 20; round++) {
      peer.session.write(requests('now', 100, round * 100));
      await turns(3);
      most = Math.max(most, session?.queuedBytes ?? 0);
    }
    // One read has many requests. At most one answer is written after the mark is reached.
    expect(most).toBeGreaterThan(LIMITS.highWaterMark);
    expect(most).toBeLessThan(LIMITS.highWaterMark + 2 * REPLY);
    peer.session.resume();
    const answers = await peer.frames.take(2_000);
    expect(
      answers.filter(
        ({ sequence, body }, index) => sequence !== BigInt(index) || body.length !== REPLY + 2,
      ),
    ).toEqual([]);
  });

  test('is disconnected after idleTimeout', async () => {
    const logger = new Log('the server');
    await using server = await serve(freeMemoryAddress(), [big], {
      logger,
      session: { ...LIMITS, idleTimeout: 80 },
    });
    await using peer = await RawPeer.connect(server.address);
    peer.session.pause();
    peer.session.write(requests('now', 1_000));
    await until(() => server.channels.size === 1, 'it is connected');
    await until(() => server.channels.size === 0, 'it is closed');
    expect(logger.codes).toEqual(['IDLE_TIMEOUT']);
  });

  test('is disconnected when later answers exceed maxQueuedBytes', async () => {
    using watched = watchSessions();
    const logger = new Log('the server');
    await using server = await serve(freeMemoryAddress(), [big, testService()], {
      logger,
      session: LIMITS,
    });
    await using other = await connectOnce(server.address);
    await using peer = await RawPeer.connect(server.address);
    await until(() => server.channels.size === 2, 'both are connected');
    const session = [...watched.open].filter(({ endpoint }) => endpoint.type === 'server').at(-1);
    await peer.send(requests('later', 1_000));
    const served = (): number => [...server.channels].at(-1)?.serving ?? 0;
    await until(() => served() === 1_000, 'the server handles all calls');
    peer.session.pause();
    permission.open();
    let most = 0;
    await until(() => {
      most = Math.max(most, session?.queuedBytes ?? 0);
      return server.channels.size === 1;
    }, 'it is closed');
    expect(logger.codes).toEqual(['SESSION_BLOCKED']);
    expect(most).toBeLessThan(LIMITS.maxQueuedBytes + 2 * REPLY);
    expect(await outcome(other.stub(TestService).add({}))).toBe('ok');
  });
});
