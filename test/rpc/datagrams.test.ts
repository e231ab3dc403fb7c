/** Calls over UDP: what is lost, what comes twice, what does not fit. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { describe, expect, test } from 'vitest';
import { RecentRequests } from '../../src/rpc/datagrams.js';
import { connect, contract, implement, type RpcError, serve, serverStream, unary } from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { gate, turns, until, within } from '../fixtures/waiting.js';

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

  static async before(address: string): Promise<Middleman> {
    const middleman = new Middleman();
    const port = Number(address.split(':').at(-1));
    await Promise.all([middleman.#near, middleman.#far].map((socket) => new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))));
    middleman.#near.on('message', (bytes, from) => {
      middleman.#client = from;
      middleman.#pass(bytes, middleman.up(bytes), (datagram) => middleman.#far.send(datagram, port, '127.0.0.1'));
    });
    middleman.#far.on('message', (bytes) => {
      const { port: to = 0 } = middleman.#client ?? {};
      middleman.#pass(bytes, middleman.down(bytes), (datagram) => middleman.#near.send(datagram, to, '127.0.0.1'));
    });
    return middleman;
  }

  #pass(bytes: Buffer, verdict: Verdict, send: (bytes: Buffer) => void): void {
    if (verdict === 'lose') return;
    send(bytes);
    if (verdict === 'double') send(bytes);
  }

  get address(): string {
    return `udp://127.0.0.1:${this.#near.address().port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#near, this.#far].map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  }
}

const COMMAND_AT = 4;
const isRequest = (bytes: Buffer): boolean => bytes.length >= 32 && bytes.readInt16LE(COMMAND_AT) === 3;
const isAnswer = (bytes: Buffer): boolean => bytes.length >= 32 && bytes.readInt16LE(COMMAND_AT) === 4;

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
    expect(await failure(s.stub.count('one', { timeout: 700 }))).toMatchObject({ code: 'DEADLINE_EXCEEDED', unsent: false });
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
    expect(s.client.statistics().calls.every(({ started, succeeded }) => started === 1 && succeeded === 1)).toBe(true);
    expect([...s.server.channels][0]?.statistics.served).toEqual({ started: 3, succeeded: 3, failed: 0 });
  });

  test('under loss both ways a hundred idempotent calls come through', async () => {
    await using s = await sensor();
    let n = 0;
    s.between.up = () => (n++ % 3 === 0 ? 'lose' : 'pass');
    s.between.down = () => (n++ % 4 === 0 ? 'lose' : 'pass');
    const replies = await Promise.all(Array.from({ length: 100 }, (_, i) => s.stub.read(`${i}`, { timeout: 15_000 })));
    expect(replies).toEqual(Array.from({ length: 100 }, (_, i) => `${i}: 21 degrees`));
    expect(s.calls.length).toBe(100);
  });

  test('a message that no datagram holds, and a stream, are errors before a byte is sent', async () => {
    await using s = await sensor();
    expect(await failure(s.stub.read('x'.repeat(70_000)))).toMatchObject({ code: 'RESOURCE_EXHAUSTED', unsent: true });
    const loop = async (): Promise<void> => {
      for await (const _ of s.stub.live());
    };
    expect(await failure(loop())).toMatchObject({ code: 'FAILED_PRECONDITION', unsent: true, message: expect.stringContaining('datagrams') });
    expect(s.calls).toEqual([]);
  });

  test('an answer larger than a peer that is not trusted may be sent is RESOURCE_EXHAUSTED', async () => {
    const service = implement(Sensor, { read: () => 'x'.repeat(2_000), count: () => 1, wait: () => '', live: () => [] });
    const server = await serve('udp://127.0.0.1:0', [service]);
    const client = await connect(server.address, { connections: 1, reconnect: false });
    try {
      expect(await failure(client.stub(Sensor).read('one'))).toMatchObject({ code: 'RESOURCE_EXHAUSTED', unsent: false });
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

  test('what is remembered of a peer is bounded, in number and in bytes', () => {
    const recent = new RecentRequests();
    const request = (low: number) => ({ sequenceLow: low, sequenceHigh: 7 });
    for (let low = 0; low < 10_000; low++) expect(recent.meet(request(low))).toBeUndefined();
    expect(recent.meet(request(9_999))).toBeDefined();
    expect(recent.meet(request(9_400))).toBeUndefined();
    expect(recent.meet({ sequenceLow: 9_999, sequenceHigh: 8 })).toBeUndefined();
    const other = new RecentRequests();
    for (let low = 0; low < 200; low++) {
      other.meet(request(low));
      other.answered(request(low), new Uint8Array(1_000));
    }
    expect(other.meet(request(199))?.answer).toHaveLength(1_000);
    // 65 answers of 1,000 bytes are within 64 KiB.
    expect(other.meet(request(135))?.answer).toHaveLength(1_000);
    expect(other.meet(request(134))).toBeUndefined();
  });
});
