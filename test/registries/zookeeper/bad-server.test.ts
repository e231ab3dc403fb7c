/** A server that is none, or a broken one: hand-made, since a real one does not send such bytes. */
import { afterEach, describe, expect, it } from 'vitest';
import { GettyError } from '../../../src/core/errors.js';
import { JuteReader, JuteWriter } from '../../../src/registries/zookeeper/client/jute.js';
import {
  type ClientState,
  ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import { lengthPrefixed, type Server, type Session, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, until, within } from '../../fixtures/waiting.js';

type Conversation = (session: Session<Buffer, Uint8Array>, frame: Buffer, number: number) => void;

function frame(write: (to: JuteWriter) => void): Buffer {
  const to = new JuteWriter();
  write(to);
  return to.bytes;
}

function granted({ version = 0, timeout = 10_000, id = 1n, readOnly = false } = {}): Buffer {
  return frame((to) => {
    to.int(version);
    to.int(timeout);
    to.long(id);
    to.buffer(Buffer.alloc(16));
    to.bool(readOnly);
  });
}

function answer(xid: number, error = 0, body: (to: JuteWriter) => void = () => {}): Buffer {
  return frame((to) => {
    to.int(xid);
    to.long(5n);
    to.int(error);
    body(to);
  });
}

const xidOf = (request: Buffer): number => new JuteReader(request).int();
const NO_NODE = -101;
/** A good server, as far as we ask: it takes the session and has no nodes. */
const good: Conversation = (session, request, number) => {
  session.write(number === 0 ? granted() : answer(xidOf(request), NO_NODE));
};

describe('a server that breaks the protocol', () => {
  noLeaks();
  noTimersLeft();
  let server: Server<Buffer, Uint8Array> | undefined;
  let client: ZooKeeperClient | undefined;
  let conversations = 0;
  let states: ClientState[] = [];
  afterEach(async () => {
    await client?.close();
    await server?.close();
  });

  /** A client of a server that behaves so in its first conversation, and well in the later ones. */
  async function facing(
    bad: Conversation,
    options: ZooKeeperClientOptions = {},
    badFor = 1,
  ): Promise<ZooKeeperClient> {
    conversations = 0;
    states = [];
    server = await serve<Buffer, Uint8Array>('tcp://127.0.0.1:0', () => {
      const conversation = conversations++ < badFor ? bad : good;
      let frames = 0;
      return {
        codec: lengthPrefixed({ width: 4 }),
        waitTime: 0,
        listener: { onMessage: (session, request) => conversation(session, request, frames++) },
      };
    });
    const onState = (state: ClientState): void => void states.push(state);
    client = new ZooKeeperClient(server.address.replace('tcp://', ''), {
      sessionTimeout: 4_000,
      initialDelay: 2,
      maxDelay: 20,
      ...options,
      onState,
    });
    return client;
  }

  it.each<[string, Conversation]>([
    ['closes without a word', (session) => session.destroy()],
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
  ])('the client tries again after a server %s', async (_, bad) => {
    const patient = await facing(bad);
    expect(await within(patient.exists('/a'), 'the answer of the next one')).toBeUndefined();
    expect(conversations).toBe(2);
    expect(states).toEqual(['away', 'connected']);
  });

  /** After a good handshake, the first request is answered so. */
  const afterwards =
    (bad: (session: Session<Buffer, Uint8Array>, xid: number) => void): Conversation =>
    (session, request, number) => {
      if (number === 0) session.write(granted());
      else bad(session, xidOf(request));
    };

  it.each<[string, Conversation, string | undefined]>([
    [
      'an answer without a request',
      afterwards((session, xid) => session.write(answer(xid + 7))),
      'BAD_FRAME',
    ],
    [
      'an answer with a number of its own',
      afterwards((session) => session.write(answer(-3))),
      'BAD_FRAME',
    ],
    ['a truncated answer', afterwards((session, xid) => session.write(answer(xid))), 'BAD_FRAME'],
    ['a truncated header', afterwards((session) => session.write(Buffer.alloc(15))), 'BAD_FRAME'],
    ['an empty frame', afterwards((session) => session.write(Buffer.alloc(0))), 'BAD_FRAME'],
    [
      'a truncated event',
      afterwards((session) => session.write(answer(-1, 0, (to) => to.int(3)))),
      'BAD_FRAME',
    ],
    [
      'a refusal of the watches',
      afterwards((session) => session.write(answer(-8, -1))),
      'REGISTRY_FAILED',
    ],
    [
      'a refusal of the credentials',
      afterwards((session) => session.write(answer(-4, -115))),
      'REGISTRY_FAILED',
    ],
    [
      'a frame of 8 MiB and a byte',
      afterwards((session) => session.writeBytes(Buffer.from('00800001', 'hex'))),
      'MESSAGE_TOO_LARGE',
    ],
    ['the end', afterwards((session) => session.destroy()), 'REGISTRY_FAILED'],
  ])(
    '%s ends the connection, and the requests under way fail with CONNECTION_LOST',
    async (_, bad, code) => {
      const patient = await facing(bad);
      const error = await within(
        patient.exists('/a').catch((failure) => failure),
        'the outcome',
      );
      if (error.code === 'BAD_FRAME') expect(error).toMatchObject({ code });
      else expect(error).toMatchObject({ reason: 'CONNECTION_LOST', cause: { code } });
      expect(await patient.exists('/a')).toBeUndefined();
      expect(conversations).toBe(2);
    },
  );

  it('answers in another order than the requests end the connection', async () => {
    const xids: number[] = [];
    const patient = await facing((session, request, number) => {
      if (number === 0) session.write(granted());
      else xids.push(xidOf(request));
      if (xids.length < 2) return;
      for (const xid of xids.reverse()) session.write(answer(xid, NO_NODE));
    });
    const outcomes = Promise.all(
      [patient.exists('/a'), patient.exists('/b')].map((outcome) =>
        outcome.catch((error) => error),
      ),
    );
    const expected = { reason: 'CONNECTION_LOST', cause: { code: 'BAD_FRAME' } };
    expect(await within(outcomes, 'the outcomes')).toMatchObject([expected, expected]);
    expect(await patient.exists('/a')).toBeUndefined();
  });

  it('ignores events without a watcher and answers to the ping', async () => {
    const noise = afterwards((session, xid) => {
      const event = (type: number, path: string): Buffer =>
        answer(-1, 0, (to) => {
          to.int(type);
          to.int(3);
          to.string(path);
        });
      for (const type of [1, 2, 3, 4, -1, 99]) session.write(event(type, '/nobody'));
      session.write(event(3, ''));
      for (const ours of [-2, -4, -8]) session.write(answer(ours));
      session.write(answer(xid, NO_NODE));
    });
    expect(await (await facing(noise)).exists('/a')).toBeUndefined();
    expect(conversations).toBe(1);
  });

  it('the message of an unknown error has its number', async () => {
    const patient = await facing(afterwards((session, xid) => session.write(answer(xid, -4242))));
    await expect(patient.exists('/a')).rejects.toMatchObject({
      reason: 'UNKNOWN',
      message: 'ZooKeeper: exists /a: error -4242',
    });
    expect(conversations).toBe(1);
  });

  it('ignores an answer that arrives after the timeout of its operation', async () => {
    let late: (() => void) | undefined;
    const patient = await facing(
      (session, request, number) => {
        if (number === 0) session.write(granted({ timeout: 60_000 }));
        else if (number === 1) late = () => void session.write(answer(xidOf(request), -103));
        else session.write(answer(xidOf(request), NO_NODE));
      },
      { operationTimeout: 100 },
    );
    await expect(patient.exists('/a')).rejects.toMatchObject({ reason: 'OPERATION_TIMEOUT' });
    late?.();
    expect(await patient.exists('/b')).toBeUndefined();
    expect(conversations).toBe(1);
  });

  it('dials a server with backoff if it accepts and closes every connection', async () => {
    const patient = await facing(
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
    const began = performance.now();
    patient.exists('/a').catch(() => {});
    await until(() => conversations >= 6, 'six conversations');
    expect(performance.now() - began).toBeGreaterThan(300);
  });

  it('leaves a silent server even if the process is often busy', async () => {
    const timeout = 1_200;
    const patient = await facing(
      (session, _, number) => {
        if (number === 0) session.write(granted({ timeout }));
      },
      { operationTimeout: 60_000 },
    );
    const outcome = patient.exists('/a').catch((error) => error);
    await until(async () => {
      // Each block is longer than the largest delay that one check counts.
      const end = performance.now() + timeout / 4;
      while (performance.now() < end);
      await elapse(timeout / 12);
      return conversations > 1;
    }, 'the server is left');
    expect(await outcome).toMatchObject({ reason: 'CONNECTION_LOST', cause: { reason: 'SILENT' } });
  });

  it('random bytes only end the connection', async () => {
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
        const patient = await facing(
          afterwards((session) => {
            for (const bytes of frames) {
              if (!session.closed) framed ? session.write(bytes) : session.writeBytes(bytes);
            }
            session.destroy();
          }),
        );
        const outcome = await within(
          patient.exists('/a').catch((error) => error),
          'an outcome',
        );
        if (outcome !== undefined && !('czxid' in outcome))
          expect(outcome).toBeInstanceOf(GettyError);
        expect(await within(patient.exists('/a'), 'the next one')).toBeUndefined();
        await patient.close();
        await server?.close();
      }),
      { numRuns: 60 },
    );
  });
});

function ints(numbers: readonly number[]): Uint8Array {
  return frame((to) => numbers.forEach((number) => void to.int(number)));
}
