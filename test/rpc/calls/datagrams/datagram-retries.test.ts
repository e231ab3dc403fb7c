/** Calls over UDP: lost datagrams, duplicates, and messages that are too large. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { describe, expect, test, vi } from 'vitest';
import { RecentRequests } from '../../../../src/rpc/calls/datagrams/recent-requests.js';
import { contract, implement, serve, serverStream, unary } from '../../../../src/rpc/index.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { connectOnce } from '../../../fixtures/rpc.js';
import { rejection } from '../../../fixtures/transports.js';
import { gate, turns, until, within } from '../../../fixtures/waiting.js';

const Sensor = contract('Sensor', {
  read: unary<string, string>({ idempotent: true }),
  count: unary<string, number>(),
  wait: unary<void, string>({ idempotent: true }),
  live: serverStream<void, number>(),
});

const Scale = contract('Scale', {
  multiply: unary<{ by: number }, number>({ idempotent: true }),
});

noLeaks();

type Fate = 'pass' | 'lose' | 'double';

/** A relay between a client and a server that passes, loses or doubles each datagram. */
class DatagramRelay implements AsyncDisposable {
  up: (bytes: Buffer) => Fate = () => 'pass';
  down: (bytes: Buffer) => Fate = () => 'pass';
  readonly #near: Socket = createSocket('udp4');
  readonly #far: Socket = createSocket('udp4');
  #client: RemoteInfo | undefined;
  #port = 0;

  static async to(address: string): Promise<DatagramRelay> {
    const relay = new DatagramRelay();
    const port = Number(address.split(':').at(-1));
    relay.#port = port;
    await Promise.all(
      [relay.#near, relay.#far].map(
        (socket) => new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve)),
      ),
    );
    relay.#near.on('message', (bytes, from) => {
      relay.#client = from;
      relay.#pass(bytes, relay.up(bytes), (datagram) =>
        relay.#far.send(datagram, port, '127.0.0.1'),
      );
    });
    relay.#far.on('message', (bytes) => {
      const { port: to = 0 } = relay.#client ?? {};
      relay.#pass(bytes, relay.down(bytes), (datagram) =>
        relay.#near.send(datagram, to, '127.0.0.1'),
      );
    });
    return relay;
  }

  #pass(bytes: Buffer, fate: Fate, send: (bytes: Buffer) => void): void {
    if (fate === 'lose') return;
    send(bytes);
    if (fate === 'double') send(bytes);
  }

  /** Sends a datagram of the client to the server again. */
  resend(bytes: Buffer): void {
    this.#far.send(bytes, this.#port, '127.0.0.1');
  }

  get address(): string {
    return `udp://127.0.0.1:${this.#near.address().port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [this.#near, this.#far].map(
        (socket) => new Promise<void>((resolve) => socket.close(() => resolve())),
      ),
    );
  }
}

const COMMAND_OFFSET = 4;
const isRequest = (bytes: Buffer): boolean =>
  bytes.length >= 32 && bytes.readInt16LE(COMMAND_OFFSET) === 3;
const isAnswer = (bytes: Buffer): boolean =>
  bytes.length >= 32 && bytes.readInt16LE(COMMAND_OFFSET) === 4;

async function sensor(waiting: Promise<string> = Promise.resolve('at once')) {
  const calls: string[] = [];
  const service = implement(Sensor, {
    read(name) {
      calls.push(`read ${name}`);
      return `${name}: 21 degrees`;
    },
    count(name) {
      calls.push(`count ${name}`);
      return calls.length;
    },
    wait() {
      calls.push('wait');
      return waiting;
    },
    live: () => [1],
  });
  const scale = implement(Scale, {
    multiply({ by }) {
      calls.push(`multiply by ${by}`);
      return 21 * by;
    },
  });
  const server = await serve('udp://127.0.0.1:0', [service, scale], { udp: { amplification: 10 } });
  const relay = await DatagramRelay.to(server.address);
  const client = await connectOnce(relay.address);
  return {
    calls,
    server,
    relay,
    client,
    stub: client.stub(Sensor),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close(), relay[Symbol.asyncDispose]()]);
    },
  };
}

describe('calls over datagrams', () => {
  test('a lost request of an idempotent method is sent again, and a lost answer is sent again without another call', async () => {
    await using s = await sensor();
    let lost = 0;
    s.relay.up = (bytes) => (isRequest(bytes) && lost++ === 0 ? 'lose' : 'pass');
    expect(await s.stub.read('one')).toBe('one: 21 degrees');
    expect(s.calls).toEqual(['read one']);
    s.relay.up = () => 'pass';
    lost = 0;
    s.relay.down = (bytes) => (isAnswer(bytes) && lost++ === 0 ? 'lose' : 'pass');
    expect(await s.stub.read('two')).toBe('two: 21 degrees');
    expect(lost).toBe(2);
    expect(s.calls).toEqual(['read one', 'read two']);
  });

  test('a request is sent again with the argument that it had first', async () => {
    await using s = await sensor();
    let lost = 0;
    s.relay.up = (bytes) => (isRequest(bytes) && lost++ === 0 ? 'lose' : 'pass');
    const argument = { by: 2 };
    const stub = s.client.stub(Scale);
    const first = stub.multiply(argument);
    argument.by = 3;
    expect([await first, await stub.multiply(argument)]).toEqual([42, 63]);
    expect(s.calls).toEqual(['multiply by 2', 'multiply by 3']);
  });

  test('a lost request of another method is not sent again, and fails at the deadline as one that may have run', async () => {
    await using s = await sensor();
    let requests = 0;
    s.relay.up = (bytes) => {
      if (!isRequest(bytes)) return 'pass';
      requests++;
      return 'lose';
    };
    expect(await rejection(s.stub.count('one', { timeout: 700 }))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: false,
    });
    expect(requests).toBe(1);
    expect(s.calls).toEqual([]);
  });

  test('a request that arrives twice is handled once, and an answer that arrives twice settles its call once', async () => {
    const open = gate<string>();
    await using s = await sensor(open.promise);
    s.relay.up = () => 'double';
    s.relay.down = () => 'double';
    expect(await s.stub.count('one')).toBe(1);
    expect(await s.stub.read('two')).toBe('two: 21 degrees');
    const waiting = s.stub.wait();
    await until(() => s.calls.includes('wait'), 'the server has received the call');
    await turns(5);
    open.open('done');
    expect(await waiting).toBe('done');
    await turns(5);
    expect(s.calls).toEqual(['count one', 'read two', 'wait']);
    expect(
      s.client
        .statistics()
        .calls.every(({ started, succeeded }) => started === 1 && succeeded === 1),
    ).toBe(true);
    expect([...s.server.channels][0]?.statistics.served).toEqual({
      started: 3,
      succeeded: 3,
      failed: 0,
    });
  });

  test('a hundred idempotent calls succeed when datagrams are lost in both directions', async () => {
    await using s = await sensor();
    let n = 0;
    s.relay.up = () => (n++ % 3 === 0 ? 'lose' : 'pass');
    s.relay.down = () => (n++ % 4 === 0 ? 'lose' : 'pass');
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, i) => s.stub.read(`${i}`, { timeout: 100_000 })),
    );
    expect(replies).toEqual(Array.from({ length: 100 }, (_, i) => `${i}: 21 degrees`));
    expect(s.calls.length).toBe(100);
  });

  test('a request above the limit of remembered requests is refused, and counts in served', async () => {
    const add = vi.spyOn(RecentRequests.prototype, 'add').mockReturnValue(false);
    try {
      await using s = await sensor();
      expect(await rejection(s.stub.count('one'))).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        unsent: true,
      });
      expect(s.calls).toEqual([]);
      expect(s.server.statistics().served).toMatchObject([
        { method: 'count', started: 1, failed: { RESOURCE_EXHAUSTED: 1 } },
      ]);
    } finally {
      add.mockRestore();
    }
  });

  test('a message larger than a datagram and a stream fail before a byte is sent', async () => {
    await using s = await sensor();
    expect(await rejection(s.stub.read('x'.repeat(70_000)))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
    });
    const loop = async (): Promise<void> => {
      for await (const _ of s.stub.live());
    };
    expect(await rejection(loop())).toMatchObject({
      code: 'FAILED_PRECONDITION',
      unsent: true,
      message: expect.stringContaining('datagrams'),
    });
    expect(s.calls).toEqual([]);
  });

  test('an answer over the amplification limit of an unverified peer fails with RESOURCE_EXHAUSTED', async () => {
    const service = implement(Sensor, {
      read: () => 'x'.repeat(2_000),
      count: () => 1,
      wait: () => '',
      live: () => [],
    });
    const server = await serve('udp://127.0.0.1:0', [service]);
    const client = await connectOnce(server.address);
    try {
      expect(await rejection(client.stub(Sensor).read('one'))).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        unsent: false,
      });
      expect(await client.stub(Sensor).count('one')).toBe(1);
    } finally {
      await client.close();
      await server.close();
    }
  });

  test('a call over the amplification limit to an unverified peer fails with RESOURCE_EXHAUSTED', async () => {
    const outcomes: unknown[] = [];
    const service = implement(Sensor, {
      read: async (_, { channel }) => {
        outcomes.push(await rejection(channel.stub(Sensor).read('x'.repeat(2_000))));
        return 'done';
      },
      count: () => 1,
      wait: () => '',
      live: () => [],
    });
    const server = await serve('udp://127.0.0.1:0', [service]);
    const client = await connectOnce(server.address);
    try {
      expect(await client.stub(Sensor).read('one')).toBe('done');
      expect(outcomes).toMatchObject([{ code: 'RESOURCE_EXHAUSTED', unsent: true }]);
    } finally {
      await client.close();
      await server.close();
    }
  });

  test('close() of a server does not wait for its peers to end', async () => {
    await using s = await sensor();
    expect(await s.stub.read('one')).toBe('one: 21 degrees');
    await within(s.server.close(), 'the server to close');
  });

  test('duplicates do not run a handler until the deadline of their call, however many calls follow', async () => {
    await using s = await sensor();
    const requests: Buffer[] = [];
    s.relay.up = (bytes) => {
      if (isRequest(bytes)) requests.push(Buffer.from(bytes));
      return 'pass';
    };
    // 50 requests at a time fit into the receive buffer of a socket.
    for (let round = 0; round < 40; round++)
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => s.stub.count(`${round}:${i}`, { timeout: 30_000 })),
      );
    expect(s.calls).toHaveLength(2_000);
    expect(requests).toHaveLength(2_000);
    for (let at = 0; at < requests.length; at += 50) {
      for (const request of requests.slice(at, at + 50)) s.relay.resend(request);
      // Datagrams of one socket arrive in order: the answer shows that the others were handled.
      await s.stub.read(`after ${at}`, { timeout: 30_000 });
    }
    expect(s.calls.filter((name) => name.startsWith('count'))).toHaveLength(2_000);
  });
});
