/**
 * A server that violates the protocol. A real server does not send such bytes, so the test writes
 * them.
 */
import { describe, expect, it } from 'vitest';
import { GettyError } from '../../../src/core/errors.js';
import { OPERATION_TYPE } from '../../../src/registries/zookeeper/client/operations.js';
import { ServerConnection } from '../../../src/registries/zookeeper/client/server-connection.js';
import { lengthPrefixed, type Session, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, until, within } from '../../fixtures/waiting.js';
import {
  answer,
  type Conversation,
  closeAll,
  closeServer,
  conversations,
  frame,
  granted,
  NO_NODE,
  openClient,
  states,
  useInvalidServer,
  xidOf,
} from './invalid-server.js';

describe('a server that violates the protocol', () => {
  noLeaks();
  noTimersLeft();
  useInvalidServer();

  it.each<[string, Conversation]>([
    ['closes the connection', (session) => session.destroy()],
    ['never answers', () => {}],
    [
      'answers the handshake with random bytes',
      (session) => session.write(Buffer.from('HTTP/1.1 400 Bad Request')),
    ],
    [
      'answers the handshake with a partial frame',
      (session) => session.write(granted().subarray(0, 20)),
    ],
    ['has another protocol version', (session) => session.write(granted({ version: 1 }))],
    ['is read-only', (session) => session.write(granted({ readOnly: true }))],
    [
      'answers that the new session has expired',
      (session) => session.write(granted({ timeout: 0, id: 0n })),
    ],
    [
      'announces a frame of 2 GB',
      (session) => session.writeBytes(Buffer.from('7fffffff00000000', 'hex')),
    ],
    [
      'announces a frame of a negative length',
      (session) => session.writeBytes(Buffer.from('ffffffff00000000', 'hex')),
    ],
  ])('is dialed again when it %s', async (_, invalid) => {
    const client = await openClient(invalid);
    expect(await within(client.exists('/a'), 'the next answer')).toBeUndefined();
    expect(conversations).toBe(2);
    expect(states).toEqual(['away', 'connected']);
  });

  /** A valid handshake and an invalid answer to the first request. */
  const afterHandshake =
    (invalid: (session: Session<Buffer, Uint8Array>, xid: number) => void): Conversation =>
    (session, request, number) => {
      if (number === 0) session.write(granted());
      else invalid(session, xidOf(request));
    };

  it.each<[string, Conversation, string | undefined]>([
    [
      'an answer without a request',
      afterHandshake((session, xid) => session.write(answer(xid + 7))),
      'BAD_FRAME',
    ],
    [
      'an answer with a reserved number',
      afterHandshake((session) => session.write(answer(-3))),
      'BAD_FRAME',
    ],
    [
      'a truncated answer',
      afterHandshake((session, xid) => session.write(answer(xid))),
      'BAD_FRAME',
    ],
    [
      'a truncated header',
      afterHandshake((session) => session.write(Buffer.alloc(15))),
      'BAD_FRAME',
    ],
    ['an empty frame', afterHandshake((session) => session.write(Buffer.alloc(0))), 'BAD_FRAME'],
    [
      'a truncated event',
      afterHandshake((session) => session.write(answer(-1, 0, (to) => to.int(3)))),
      'BAD_FRAME',
    ],
    [
      'a refusal of the watches',
      afterHandshake((session) => session.write(answer(-8, -1))),
      'REGISTRY_FAILED',
    ],
    [
      'a refusal of the credentials',
      afterHandshake((session) => session.write(answer(-4, -115))),
      'REGISTRY_FAILED',
    ],
    [
      'a frame of 8 MiB and a byte',
      afterHandshake((session) => session.writeBytes(Buffer.from('00800001', 'hex'))),
      'MESSAGE_TOO_LARGE',
    ],
    [
      'the end of the connection',
      afterHandshake((session) => session.destroy()),
      'REGISTRY_FAILED',
    ],
  ])(
    'loses its connection after %s, and the requests in flight fail with CONNECTION_LOST',
    async (_, invalid, code) => {
      const client = await openClient(invalid);
      const error = await within(
        client.exists('/a').catch((failure) => failure),
        'the outcome',
      );
      if (error.code === 'BAD_FRAME') expect(error).toMatchObject({ code });
      else expect(error).toMatchObject({ reason: 'CONNECTION_LOST', cause: { code } });
      expect(await client.exists('/a')).toBeUndefined();
      expect(conversations).toBe(2);
    },
  );

  it('is read up to 50,000 names of children, and keeps its connection with more', async () => {
    const names = (count: number): Conversation =>
      afterHandshake((session, xid) =>
        session.write(
          answer(xid, 0, (to) => to.vector(Array(count).fill('a'), (a) => to.string(a))),
        ),
      );
    expect(await (await openClient(names(50_000))).getChildren('/a')).toHaveLength(50_000);
    await closeAll();
    const client = await openClient(names(50_001));
    await expect(client.getChildren('/a')).rejects.toMatchObject({
      reason: 'TOO_MANY_CHILDREN',
      message: expect.stringMatching(/\/a: it has 50001 children, at most 50000/),
    });
    const { elements, count } = await client.firstChildren('/a');
    expect([elements.length, count, conversations]).toEqual([50_000, 50_001, 1]);
  });

  it.each([
    [4_000, 5_000, 5_000],
    [4_000, 2 ** 31 - 1, 60_000],
    [90_000, 2 ** 31 - 1, 90_000],
    [4_000, 1, 100],
  ])(
    'that is asked for %i ms and grants %i ms has granted %i ms',
    async (asked, given, timeout) => {
      await using server = await serve<Buffer, Uint8Array>('tcp://127.0.0.1:0', {
        codec: lengthPrefixed({ width: 4 }),
        listener: { onMessage: (session) => void session.write(granted({ timeout: given })) },
      });
      const connection = await ServerConnection.open(
        {
          host: server.address.replace('tcp://', ''),
          tls: undefined,
          timeout: 10_000,
          maxResponseBytes: 1_000,
          session: { id: 0n, password: Buffer.alloc(16), timeout: asked },
          lastZxid: 0n,
          signal: new AbortController().signal,
        },
        { onZxid() {}, onEvent() {} },
      );
      expect(connection.granted.timeout).toBe(timeout);
      connection.destroy(new Error('the test is over'));
      await connection.ended;
    },
  );

  it('loses its connection when answers have another order than the requests', async () => {
    const xids: number[] = [];
    const client = await openClient((session, request, number) => {
      if (number === 0) session.write(granted());
      else xids.push(xidOf(request));
      if (xids.length < 2) return;
      for (const xid of xids.reverse()) session.write(answer(xid, NO_NODE));
    });
    const outcomes = Promise.all(
      [client.exists('/a'), client.exists('/b')].map((outcome) => outcome.catch((error) => error)),
    );
    const expected = { reason: 'CONNECTION_LOST', cause: { code: 'BAD_FRAME' } };
    expect(await within(outcomes, 'the outcomes')).toMatchObject([expected, expected]);
    expect(await client.exists('/a')).toBeUndefined();
  });

  it('may send events without a watcher and answers to pings', async () => {
    const unneeded = afterHandshake((session, xid) => {
      const event = (type: number, path: string): Buffer =>
        answer(-1, 0, (to) => {
          to.int(type);
          to.int(3);
          to.string(path);
        });
      for (const type of [1, 2, 3, 4, -1, 99]) session.write(event(type, '/unwatched'));
      session.write(event(3, ''));
      for (const xid of [-2, -4, -8]) session.write(answer(xid));
      session.write(answer(xid, NO_NODE));
    });
    expect(await (await openClient(unneeded)).exists('/a')).toBeUndefined();
    expect(conversations).toBe(1);
  });

  it('may answer with an unknown error, whose number is in the message', async () => {
    const client = await openClient(
      afterHandshake((session, xid) => session.write(answer(xid, -4242))),
    );
    await expect(client.exists('/a')).rejects.toMatchObject({
      reason: 'UNKNOWN',
      message: 'ZooKeeper: exists /a: error -4242',
    });
    expect(conversations).toBe(1);
  });

  it('may answer after the timeout of the operation', async () => {
    let late: (() => void) | undefined;
    const client = await openClient(
      (session, request, number) => {
        if (number === 0) session.write(granted({ timeout: 60_000 }));
        else if (number === 1) late = () => void session.write(answer(xidOf(request), -103));
        else session.write(answer(xidOf(request), NO_NODE));
      },
      { operationTimeout: 100 },
    );
    await expect(client.exists('/a')).rejects.toMatchObject({ reason: 'OPERATION_TIMEOUT' });
    late?.();
    expect(await client.exists('/b')).toBeUndefined();
    expect(conversations).toBe(1);
  });

  it('loses its connection when it answers pings only', async () => {
    const PING = -2;
    const client = await openClient(
      (session, request, number) => {
        if (number === 0) session.write(granted({ timeout: 300 }));
        else if (xidOf(request) === PING) session.write(answer(PING));
      },
      { sessionTimeout: 300 },
    );
    const lost = await within(
      client.exists('/a').catch((error) => error),
      'the end of the connection',
    );
    expect(lost).toMatchObject({ reason: 'CONNECTION_LOST', cause: { reason: 'SILENT' } });
    expect(String(lost.cause)).toContain('has answered pings and no request');
    expect(await client.exists('/a')).toBeUndefined();
  });

  it('is told that the session ends, also while maxPending operations are pending', async () => {
    const types: number[] = [];
    const client = await openClient(
      (session, request, number) => {
        if (number === 0) return void session.write(granted());
        const type = request.readInt32BE(4);
        types.push(type);
        if (type === OPERATION_TYPE.closeSession)
          session.write(answer(xidOf(request) - 1, NO_NODE));
        if (type === OPERATION_TYPE.closeSession) session.write(answer(xidOf(request)));
      },
      { maxPending: 1 },
    );
    const outcome = client.exists('/a').catch((error) => error);
    await until(() => types.length === 1, 'the operation');
    await expect(client.exists('/b')).rejects.toMatchObject({ reason: 'NOT_SENT' });
    await client.close();
    expect(types).toEqual([OPERATION_TYPE.exists, OPERATION_TYPE.closeSession]);
    await outcome;
  });

  it('is dialed with backoff when it closes every connection after the handshake', async () => {
    const client = await openClient(
      (session, _, number) =>
        number === 0
          ? session.send(granted()).then(
              () => session.destroy(),
              () => {},
            )
          : undefined,
      { initialDelay: 50, maxDelay: 400 },
      1_000,
    );
    const start = performance.now();
    client.exists('/a').catch(() => {});
    await until(() => conversations >= 6, 'six conversations');
    expect(performance.now() - start).toBeGreaterThan(300);
  });

  it('loses its connection when it is silent, also if the process is often busy', async () => {
    const timeout = 1_200;
    const client = await openClient(
      (session, _, number) => {
        if (number === 0) session.write(granted({ timeout }));
      },
      { operationTimeout: 60_000 },
    );
    const outcome = client.exists('/a').catch((error) => error);
    await until(async () => {
      // Each busy time is longer than the longest delay that one check counts.
      const end = performance.now() + timeout / 4;
      while (performance.now() < end);
      await elapse(timeout / 12);
      return conversations > 1;
    }, 'the client has dialed again');
    expect(await outcome).toMatchObject({ reason: 'CONNECTION_LOST', cause: { reason: 'SILENT' } });
  });

  it('loses only its connection when it sends random bytes', async () => {
    const bodies = fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength: 60 }),
        fc.array(fc.integer({ min: -9, max: 9 }), { maxLength: 9 }).map(ints),
      ),
      {
        minLength: 1,
        maxLength: 4,
      },
    );
    await fc.assert(
      fc.asyncProperty(bodies, fc.boolean(), async (frames, framed) => {
        const client = await openClient(
          afterHandshake((session) => {
            for (const bytes of frames) {
              if (!session.closed) framed ? session.write(bytes) : session.writeBytes(bytes);
            }
            session.destroy();
          }),
        );
        const outcome = await within(
          client.exists('/a').catch((error) => error),
          'the outcome',
        );
        if (outcome !== undefined && !('czxid' in outcome))
          expect(outcome).toBeInstanceOf(GettyError);
        expect(await within(client.exists('/a'), 'the next answer')).toBeUndefined();
        await client.close();
        await closeServer();
      }),
      { numRuns: 60 },
    );
  });
});

/** The bytes of these numbers. */
function ints(numbers: readonly number[]): Uint8Array {
  return frame((to) => numbers.forEach((number) => void to.int(number)));
}
