/** Calls over UDP: what is lost, what comes twice, what does not fit. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { describe, expect, test } from 'vitest';
import { REMEMBERED, RecentRequests } from '../../../src/rpc/calls/datagram-retries.js';
import {
  connect,
  contract,
  implement,
  type RpcError,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { gate, turns, until, within } from '../../fixtures/waiting.js';

const Sensor = contract('Sensor', {
  read: unary<string, string>({ idempotent: true }),
  count: unary<string, number>(),
  wait: unary<void, string>({ idempotent: true }),
  live: serverStream<void, number>(),
});

noLeaks();

const failure = (promise: Promise<unknown>): Promise<RpcError> =>
  promise.then(
    () => Promise.reject(new Error('it did not fail')),
    (error) => error,
  );

type Verdict = 'pass' | 'lose' | 'double';

/** Stands between a client and a server, and decides what becomes of each datagram. */
class Middleman implements AsyncDisposable {
  up: (bytes: Buffer) => Verdict = () => 'pass';
  down: (bytes: Buffer) => Verdict = () => 'pass';
  readonly #near: Socket = createSocket('udp4');
  readonly #far: Socket = createSocket('udp4');
  #client: RemoteInfo | undefined;
  #port = 0;

  static async before(address: string): Promise<Middleman> {
    const middleman = new Middleman();
    const port = Number(address.split(':').at(-1));
    middleman.#port = port;
    await Promise.all(
      [middleman.#near, middleman.#far].map(
        (socket) => new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve)),
      ),
    );
    middleman.#near.on('message', (bytes, from) => {
      middleman.#client = from;
      middleman.#pass(bytes, middleman.up(bytes), (datagram) =>
        middleman.#far.send(datagram, port, '127.0.0.1'),
      );
    });
    middleman.#far.on('message', (bytes) => {
      const { port: to = 0 } = middleman.#client ?? {};
      middleman.#pass(bytes, middleman.down(bytes), (datagram) =>
        middleman.#near.send(datagram, to, '127.0.0.1'),
      );
    });
    return middleman;
  }

  #pass(bytes: Buffer, verdict: Verdict, send: (bytes: Buffer) => void): void {
    if (verdict === 'lose') return;
    send(bytes);
    if (verdict === 'double') send(bytes);
  }

  /** Sends a datagram of the client once more. */
  again(bytes: Buffer): void {
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

const COMMAND_AT = 4;
const isRequest = (bytes: Buffer): boolean =>
  bytes.length >= 32 && bytes.readInt16LE(COMMAND_AT) === 3;
const isAnswer = (bytes: Buffer): boolean =>
  bytes.length >= 32 && bytes.readInt16LE(COMMAND_AT) === 4;

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
  const server = await serve('udp://127.0.0.1:0', [service], { udp: { amplification: 10 } });
  const between = await Middleman.before(server.address);
  const client = await connect(between.address, { connections: 1, reconnect: false });
  return {
    calls,
    server,
    between,
    client,
    stub: client.stub(Sensor),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close(), between[Symbol.asyncDispose]()]);
    },
  };
}

describe('over datagrams', () => {
  test('a lost request of an idempotent method is sent again, a lost answer given again without another call', async () => {
    await using s = await sensor();
    let lost = 0;
    s.between.up = (bytes) => (isRequest(bytes) && lost++ === 0 ? 'lose' : 'pass');
    expect(await s.stub.read('one')).toBe('one: 21 degrees');
    expect(s.calls).toEqual(['read one']);
    s.between.up = () => 'pass';
    lost = 0;
    s.between.down = (bytes) => (isAnswer(bytes) && lost++ === 0 ? 'lose' : 'pass');
    expect(await s.stub.read('two')).toBe('two: 21 degrees');
    expect(lost).toBe(2);
    expect(s.calls).toEqual(['read one', 'read two']);
  });

  test('one of another method is not: its caller learns at the deadline that its fate is unknown', async () => {
    await using s = await sensor();
    let requests = 0;
    s.between.up = (bytes) => {
      if (!isRequest(bytes)) return 'pass';
      requests++;
      return 'lose';
    };
    expect(await failure(s.stub.count('one', { timeout: 700 }))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: false,
    });
    expect(requests).toBe(1);
    expect(s.calls).toEqual([]);
  });

  test('what comes twice is handled once and settled once', async () => {
    const open = gate<string>();
    await using s = await sensor(open.promise);
    s.between.up = () => 'double';
    s.between.down = () => 'double';
    expect(await s.stub.count('one')).toBe(1);
    expect(await s.stub.read('two')).toBe('two: 21 degrees');
    const waiting = s.stub.wait();
    await until(() => s.calls.includes('wait'), 'the call has come');
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

  test('under loss both ways a hundred idempotent calls come through', async () => {
    await using s = await sensor();
    let n = 0;
    s.between.up = () => (n++ % 3 === 0 ? 'lose' : 'pass');
    s.between.down = () => (n++ % 4 === 0 ? 'lose' : 'pass');
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, i) => s.stub.read(`${i}`, { timeout: 100_000 })),
    );
    expect(replies).toEqual(Array.from({ length: 100 }, (_, i) => `${i}: 21 degrees`));
    expect(s.calls.length).toBe(100);
  });

  test('a message that no datagram holds, and a stream, are errors before a byte is sent', async () => {
    await using s = await sensor();
    expect(await failure(s.stub.read('x'.repeat(70_000)))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
    });
    const loop = async (): Promise<void> => {
      for await (const _ of s.stub.live());
    };
    expect(await failure(loop())).toMatchObject({
      code: 'FAILED_PRECONDITION',
      unsent: true,
      message: expect.stringContaining('datagrams'),
    });
    expect(s.calls).toEqual([]);
  });

  test('an answer larger than a peer that is not trusted may be sent is RESOURCE_EXHAUSTED', async () => {
    const service = implement(Sensor, {
      read: () => 'x'.repeat(2_000),
      count: () => 1,
      wait: () => '',
      live: () => [],
    });
    const server = await serve('udp://127.0.0.1:0', [service]);
    const client = await connect(server.address, { connections: 1, reconnect: false });
    try {
      expect(await failure(client.stub(Sensor).read('one'))).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        unsent: false,
      });
      expect(await client.stub(Sensor).count('one')).toBe(1);
    } finally {
      await client.close();
      await server.close();
    }
  });

  test('a server that closes does not wait for goodbyes, which nobody says', async () => {
    await using s = await sensor();
    expect(await s.stub.read('one')).toBe('one: 21 degrees');
    await within(s.server.close(), 'the server to close');
  });

  test('duplicates that come until the deadline of a call run nothing, however many calls came meanwhile', async () => {
    await using s = await sensor();
    const requests: Buffer[] = [];
    s.between.up = (bytes) => {
      if (isRequest(bytes)) requests.push(Buffer.from(bytes));
      return 'pass';
    };
    // More than one datagram queue holds at once would be lost.
    for (let round = 0; round < 40; round++)
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => s.stub.count(`${round}:${i}`, { timeout: 30_000 })),
      );
    expect(s.calls).toHaveLength(2_000);
    expect(requests).toHaveLength(2_000);
    for (let at = 0; at < requests.length; at += 50) {
      for (const request of requests.slice(at, at + 50)) s.between.again(request);
      // Datagrams of one socket come in order: the answer shows that those before it were handled.
      await s.stub.read(`after ${at}`, { timeout: 30_000 });
    }
    expect(s.calls.filter((name) => name.startsWith('count'))).toHaveLength(2_000);
  });

  test('a request is remembered until its deadline has passed, and its answer as long as there is room', () => {
    const recent = new RecentRequests();
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 7 });
    for (let low = 0; low < 3_000; low++) {
      expect(recent.find(request(low))).toBeUndefined();
      expect(recent.remember(request(low), low % 2 === 0 ? 5_000 : 60_000, 0)).toBe(true);
      recent.answered(request(low), new Uint8Array(1_000));
    }
    expect(recent.find(request(2_999))?.answer).toHaveLength(1_000);
    // 985 answers of 1,000 bytes, with 64 more for each, are within 1 MiB.
    expect(recent.find(request(3_000 - 985))?.answer).toHaveLength(1_000);
    expect(recent.find(request(3_000 - 986))).toMatchObject({ answer: undefined });
    expect(recent.find(request(0))).toBeDefined();
    expect(recent.find({ sequenceLow: 0, sequenceHigh: 8 })).toBeUndefined();
    for (let low = 3_000; low < 6_000; low++) recent.remember(request(low), 5_000, 20_000);
    expect(recent.find(request(0))).toBeUndefined();
    expect(recent.find(request(1))).toBeDefined();
    recent.clear();
  });

  test('where too many requests may come twice, new ones are refused and none is forgotten', () => {
    const recent = new RecentRequests();
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 7 });
    for (let low = 0; low < REMEMBERED; low++)
      expect(recent.remember(request(low), 5_000, 0)).toBe(true);
    expect(recent.remember(request(REMEMBERED), 5_000, 1_000)).toBe(false);
    expect(recent.find(request(0))).toBeDefined();
    expect(recent.remember(request(REMEMBERED), 5_000, 7_000)).toBe(true);
    expect(recent.find(request(0))).toBeUndefined();
    recent.clear();
  });

  test('requests whose sequences share their lower half are all remembered', () => {
    const recent = new RecentRequests();
    const request = (high: number) => ({ sequenceLow: 5, sequenceHigh: high });
    for (let high = 0; high < 5_000; high++) {
      expect(recent.remember(request(high), 5_000, 0)).toBe(true);
      recent.answered(request(high), new Uint8Array(4));
    }
    expect(recent.size).toBe(5_000);
    expect(recent.find(request(0))?.answer).toHaveLength(4);
    for (let high = 5_000; high < 9_000; high++) recent.remember(request(high), 5_000, 20_000);
    expect(recent.size).toBe(4_000);
    recent.clear();
  });

  test('of very many peers each may always send some, and the end of one makes room', () => {
    const peers = Array.from({ length: 9 }, () => new RecentRequests());
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 0 });
    const counts = peers.map((recent) => {
      let count = 0;
      while (recent.remember(request(count), 60_000, 0)) count++;
      return count;
    });
    expect(counts).toEqual([...Array(8).fill(REMEMBERED), 256]);
    peers[0]?.clear();
    expect(peers[8]?.remember(request(256), 60_000, 0)).toBe(true);
    for (const recent of peers) recent.clear();
  });
});
