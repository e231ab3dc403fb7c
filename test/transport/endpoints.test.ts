/**
 * What servers and clients do, the same on every transport. Names that begin with a number carry
 * the rule of PITFALLS.md.
 */
import dns from 'node:dns';
import { describe, expect, it, vi } from 'vitest';
import { parseAddress } from '../../src/transport/address.js';
import {
  CLIENT_DEFAULTS,
  type ClientState,
  connect,
  type GettyError,
  lines,
  type Peer,
  SESSION_DEFAULTS,
  serve,
} from '../../src/transport/index.js';
import { memory } from '../../src/transport/stream/memory.js';
import type { Connection, ConnectionEvents } from '../../src/transport/types.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Recorder } from '../fixtures/recorder.js';
import {
  connectAs,
  pair,
  rejection,
  runForEveryTransport,
  serveAs,
  setupOf,
  type TransportRow,
} from '../fixtures/transports.js';
import { gate, turns, until, Inbox as Waiting, within } from '../fixtures/waiting.js';

const QUIET = 20;
const SOON = { initialDelay: 5, maxDelay: 20 };

/** An address where nobody listens. */
async function deadAddress(row: TransportRow): Promise<string> {
  const server = await serveAs(row, setupOf(row, new Recorder<string>('nobody')));
  await server.close();
  return server.address;
}

/**
 * Connects, and finds that the server's setup refuses it: a WebSocket request is answered so, other
 * connections are closed at once.
 */
async function expectRefused(row: TransportRow, address: string): Promise<void> {
  const refused = new Recorder<string>('the refused client');
  const attempt = connectAs(row, address, setupOf(row, refused), { reconnect: false });
  if (/^wss?:/.test(address)) {
    expect((await rejection(attempt)).code).toBe('CONNECT_FAILED');
    return;
  }
  await using client = await attempt;
  await refused.closed.next();
  expect(client.sessions.size).toBe(0);
}

runForEveryTransport({
  async 'an endpoint says who it is'(row) {
    await using p = await pair(row);
    expect(p.server.type).toBe('server');
    expect(p.client.type).toBe('client');
    expect(p.server.id).not.toBe(p.client.id);
    expect(p.client.address).toBe(p.server.address);
    expect(p.server.address).not.toMatch(/:0$/);
    expect([p.server.closed, p.client.closed]).toEqual([false, false]);
  },

  async 'many clients at once, each with its own answers'(row) {
    const events = new Recorder<string>('the server', {
      onMessage: (session, line) => session.write(`to ${line}`),
    });
    await using server = await serveAs(row, setupOf(row, events));
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const mine = new Recorder<string>(`client ${i}`);
        await using client = await connectAs(row, server.address, setupOf(row, mine));
        const session = await client.session();
        for (let n = 0; n < 5; n++) session.write(`${i}.${n}`);
        expect(await mine.messages.take(5)).toEqual(
          Array.from({ length: 5 }, (_, n) => `to ${i}.${n}`),
        );
      }),
    );
  },

  async 'onState tells where a client is, and why it is not ready'(row) {
    await using server = await serveAs(row, setupOf(row, new Recorder<string>('the server')));
    const states = new Waiting<string>('a state');
    const onState = (state: ClientState, reason?: Error): void => {
      states.push(reason === undefined ? state : `${state}: ${(reason as GettyError).code}`);
      throw new Error('the process lives on');
    };
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const client = await connectAs(
        row,
        server.address,
        setupOf(row, new Recorder<string>('the client')),
        { reconnect: SOON, onState },
      );
      expect(client.state).toBe('ready');
      (await client.session()).destroy();
      expect(await states.take(4)).toEqual([
        'ready',
        'down: CONNECTION_LOST',
        'connecting: CONNECTION_LOST',
        'ready',
      ]);
      expect(client.state).toBe('ready');
      await client.close();
      expect([await states.next(), client.state]).toEqual(['closed', 'closed']);
      expect(states.unread).toEqual([]);
      expect(warnings).toHaveBeenCalledTimes(5);
    } finally {
      warnings.mockRestore();
    }
  },

  async 'a setup function sees the peer, and gives each session its own'(row) {
    const events = new Recorder<string>('the server');
    const peers: Peer[] = [];
    await using server = await serveAs<string>(row, (peer) => {
      peers.push({ localAddress: peer.localAddress, remoteAddress: peer.remoteAddress });
      return { ...setupOf(row, events), name: `peer ${peers.length}` };
    });
    await using _first = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('the first client')),
    );
    await using _second = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('the second client')),
    );
    const sessions = await events.opened.take(2);
    expect(sessions.map((session) => session.name)).toEqual(['peer 1', 'peer 2']);
    expect(peers).toEqual(
      sessions.map(({ localAddress, remoteAddress }) => ({ localAddress, remoteAddress })),
    );
  },

  async '19: a setup function that throws refuses the session; the server goes on'(row) {
    const events = new Recorder<string>('the server');
    let refuse = true;
    await using server = await serveAs<string>(row, () => {
      if (refuse) throw new Error('not today');
      return setupOf(row, events);
    });
    await expectRefused(row, server.address);
    expect(server.sessions.size).toBe(0);
    refuse = false;
    await using welcome = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('the welcome client')),
    );
    (await welcome.session()).write('hello');
    expect(await events.messages.next()).toBe('hello');
  },

  async 'a setup function that throws on the client: connect rejects with SESSION_REFUSED and its cause'(
    row,
  ) {
    await using server = await serveAs(row, setupOf(row, new Recorder<string>('the server')));
    const refused = connectAs(row, server.address, () => {
      throw new RangeError('not today');
    });
    expect(await rejection(refused)).toMatchObject({
      code: 'SESSION_REFUSED',
      message: expect.stringContaining('not today'),
      cause: expect.any(RangeError),
    });
    expect(
      await rejection(
        connectAs(row, server.address, () => ({
          ...setupOf(row, new Recorder<string>('x')),
          idleTimeout: -1,
        })),
      ),
    ).toMatchObject({
      code: 'BAD_OPTION',
    });
  },

  async 'a setup function with a bad option is not a silent refusal: the process is warned'(row) {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      await using server = await serveAs(row, () => ({
        ...setupOf(row, new Recorder<string>('x')),
        idleTimeout: -1,
      }));
      await expectRefused(row, server.address);
      expect(warning.mock.calls[0]?.[0]).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining('idleTimeout: given -1'),
      });
    } finally {
      warning.mockRestore();
    }
  },

  async '19: a closed server closes its sessions, and its address is free'(row) {
    await using p = await pair(row);
    p.far.write('goodbye');
    await within(p.server.close(), 'the server to close');
    expect(p.server.closed).toBe(true);
    expect(p.server.sessions.size).toBe(0);
    expect(p.farEvents.log).toEqual(['open', 'close']);
    await p.nearEvents.closed.next();
    expect(p.nearEvents.log).toEqual(['open', 'message', 'close']);
    expect(
      (
        await rejection(
          connectAs(row, p.server.address, setupOf(row, new Recorder<string>('late'))),
        )
      ).code,
    ).toBe('CONNECT_FAILED');
    await using again = await serveAs(
      row,
      setupOf(row, new Recorder<string>('the next server')),
      p.server.address,
    );
    expect(again.address).toBe(p.server.address);
    await p.server.close();
  },

  async 'destroy of a server ends its sessions now, whatever they wait for'(row) {
    await using p = await pair(row, { far: { waitTime: 300_000 }, near: { waitTime: 300_000 } });
    p.near.pause();
    void p.server.close();
    await turns(QUIET);
    expect(p.far.closed).toBe(true);
    expect(p.server.sessions.size).toBe(1);
    p.server.destroy();
    await p.farEvents.closed.next();
    await within(p.server.close(), 'the server to close');
    expect(p.server.sessions.size).toBe(0);
  },

  async 'an address that is taken: LISTEN_FAILED says so'(row) {
    await using server = await serveAs(row, setupOf(row, new Recorder<string>('the first server')));
    const error = await rejection(
      serveAs(row, setupOf(row, new Recorder<string>('the second server')), server.address),
    );
    expect(error).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining(server.address),
    });
  },

  async 'stopListening: no new connections, and those that are open go on'(row) {
    await using p = await pair(row);
    void p.server.stopListening();
    await until(() => true, 'the next turn');
    expect(
      (
        await rejection(
          connectAs(row, p.server.address, setupOf(row, new Recorder<string>('late'))),
        )
      ).code,
    ).toBe('CONNECT_FAILED');
    p.near.write('still here');
    expect(await p.farEvents.messages.next()).toBe('still here');
    expect(p.server.closed).toBe(false);
  },

  async 'stopListening settles when the address is free, while sessions go on'(row) {
    await using p = await pair(row);
    await within(p.server.stopListening(), 'the address to be free');
    await using next = await serveAs(
      row,
      setupOf(row, new Recorder<string>('the next server')),
      p.server.address,
    );
    expect(next.address).toBe(p.server.address);
    p.near.write('still here');
    expect(await p.farEvents.messages.next()).toBe('still here');
    p.far.write('me too');
    expect(await p.nearEvents.messages.next()).toBe('me too');
    await within(p.server.close(), 'the server to close');
    expect(p.farEvents.closed.all.length).toBe(1);
  },

  async 'a server that closes while a session opens does not wait for ever'(row) {
    const opening = gate();
    await using p = await pair(row, {
      far: { waitTime: 30, on: { onOpen: () => opening.promise } },
    });
    await within(p.server.close(), 'the server to close');
    expect(p.farEvents.log).toEqual(['open', 'close']);
    opening.open();
  },

  async '18: a lost session is connected again: the server was closed and served again at its address'(
    row,
  ) {
    await using p = await pair(row, { client: { reconnect: SOON } });
    await p.server.close();
    await p.nearEvents.closed.next();
    const away = await rejection(p.client.session());
    expect(['CONNECTION_LOST', 'CONNECT_FAILED']).toContain(away.code);
    const events = new Recorder<string>('the next server', {
      onMessage: (session, line) => session.write(`${line} again`),
    });
    await using _again = await serveAs(row, setupOf(row, events), p.server.address);
    await p.nearEvents.opened.take(2);
    const session = await p.client.session();
    expect(session).not.toBe(p.near);
    session.write('hello');
    expect(await p.nearEvents.messages.next()).toBe('hello again');
    expect(p.client.sessions.size).toBe(1);
  },

  async '18: a client of several connections keeps so many, and hands them out in turn'(row) {
    await using p = await pair(row, { client: { connections: 3, reconnect: SOON } });
    await p.nearEvents.opened.take(3);
    await until(
      () => p.client.sessions.size === 3 && p.server.sessions.size === 3,
      'there are three sessions on both sides',
    );
    const turn = [await p.client.session(), await p.client.session(), await p.client.session()];
    expect(new Set(turn)).toEqual(new Set(p.client.sessions));
    expect(await p.client.session()).toBe(turn[0]);
    turn[1]?.destroy();
    await p.nearEvents.closed.next();
    await p.nearEvents.opened.next();
    await until(() => p.client.sessions.size === 3, 'there are three sessions again');
    expect(p.client.sessions.has(turn[1] as never)).toBe(false);
    await until(() => p.farEvents.opened.all.length === 4, 'the server saw the fourth');
    for (const errors of [p.farEvents.errors, p.nearEvents.errors]) errors.dismiss();
  },

  async 'several connections without reconnect: each is made once'(row) {
    await using p = await pair(row, { client: { connections: 3, reconnect: false } });
    await p.nearEvents.opened.take(3);
    for (const session of [...p.client.sessions]) session.destroy();
    await p.nearEvents.closed.take(3);
    await turns(QUIET);
    expect(p.nearEvents.opened.all.length).toBe(3);
    expect(await rejection(p.client.session())).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('reconnect is off'),
    });
    for (const errors of [p.farEvents.errors, p.nearEvents.errors]) errors.dismiss();
  },

  async 'session() never hands out a session that is closed already'(row) {
    await using p = await pair(row, { client: { connections: 2 } });
    await p.nearEvents.opened.take(2);
    await until(() => p.client.sessions.size === 2, 'there are two sessions');
    p.near.destroy();
    for (let i = 0; i < 4; i++) expect(await p.client.session()).not.toBe(p.near);
    (await p.client.session()).destroy();
    expect((await rejection(p.client.session())).code).toBe('CONNECTION_LOST');
    await p.nearEvents.closed.take(2);
    for (const errors of [p.farEvents.errors, p.nearEvents.errors]) errors.dismiss();
  },

  async '18: a listener that refuses sessions does not make a hot loop: the delays grow'(row) {
    const attempts: number[] = [];
    const enough = gate();
    const events = new Recorder<string>('the client');
    let isFull = false;
    await using server = await serveAs<string>(row, () => {
      if (!isFull) return setupOf(row, new Recorder<string>('the server'));
      attempts.push(performance.now());
      if (attempts.length === 5) enough.open();
      throw new Error('full');
    });
    await using client = await connectAs(row, server.address, setupOf(row, events), {
      reconnect: { initialDelay: 16, maxDelay: 10_000 },
    });
    await until(() => server.sessions.size === 1, 'the server has the first session');
    isFull = true;
    for (const session of server.sessions) session.destroy();
    await within(enough.promise, 'five attempts');
    // At least half of 16, 32, 64 and 128 ms, less a millisecond each for the timers' rounding.
    expect((attempts[4] as number) - (attempts[0] as number)).toBeGreaterThan(8 + 16 + 32 + 64 - 4);
    expect(client.sessions.size).toBeLessThanOrEqual(1);
  },

  async "18: the client's own listener that refuses does not make a hot loop either"(row) {
    let refuse = false;
    const attempts: number[] = [];
    const onOpen = (): void => {
      attempts.push(performance.now());
      if (refuse) throw new Error('not now');
    };
    await using p = await pair(row, {
      near: { on: { onOpen } },
      client: { reconnect: { initialDelay: 16 } },
    });
    refuse = true;
    p.near.destroy();
    await until(() => attempts.length === 5, 'five attempts');
    expect((attempts[4] as number) - (attempts[0] as number)).toBeGreaterThan(8 + 16 + 32 + 64 - 4);
    await until(() => p.nearEvents.closed.all.length === 5, 'all refused sessions are closed');
    for (const errors of [p.farEvents.errors, p.nearEvents.errors]) errors.dismiss();
  },

  async '9: a dead address fails fast, with the reason'(row) {
    const address = await deadAddress(row);
    const setup = setupOf(row, new Recorder<string>('the client'));
    // An attempt that waited would outlast the test.
    const error = await rejection(connectAs(row, address, setup, { connectTimeout: 300_000 }));
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining(`cannot connect to ${address}: `),
    });
  },

  async '9: while the server is away session() rejects at once, with the reason'(row) {
    await using p = await pair(row, {
      client: { reconnect: { initialDelay: 1, maxDelay: 300_000 } },
    });
    await p.server.close();
    await p.nearEvents.closed.next();
    let error: Error & { code: string };
    do {
      error = await rejection(within(p.client.session(), 'session()'));
      await turns();
    } while (error.code === 'CONNECTION_LOST');
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining(p.server.address),
    });
  },

  async '18: a closed client is ENDPOINT_CLOSED, and dials no more'(row) {
    await using p = await pair(row, { client: { connections: 2, reconnect: SOON } });
    await p.client.close();
    expect(p.client.closed).toBe(true);
    expect(p.client.sessions.size).toBe(0);
    expect(await rejection(p.client.session())).toMatchObject({
      code: 'ENDPOINT_CLOSED',
      message: expect.stringContaining(p.client.address),
    });
    const opened = p.nearEvents.opened.all.length;
    // A retry that was left would also be seen as a timer that is left.
    await turns(QUIET);
    expect(p.nearEvents.opened.all.length).toBe(opened);
  },

  async '18: closing between two attempts returns at once'(row) {
    await using p = await pair(row, {
      client: { reconnect: { initialDelay: 300_000, maxDelay: 300_000 } },
    });
    await p.server.close();
    await p.nearEvents.closed.next();
    await within(p.client.close(), 'the client to close');
  },

  async 'close during an attempt: session() rejects with ENDPOINT_CLOSED, and the session that was opening is gone'(
    row,
  ) {
    const opening = gate();
    let wait = false;
    await using p = await pair(row, {
      near: { waitTime: 20, on: { onOpen: () => (wait ? opening.promise : undefined) } },
      client: { reconnect: SOON },
    });
    wait = true;
    p.near.destroy();
    await p.nearEvents.opened.take(2);
    const waiting = rejection(p.client.session());
    await turns();
    const closing = p.client.close();
    expect((await within(waiting, 'session() to reject')).code).toBe('ENDPOINT_CLOSED');
    await within(closing, 'the client to close');
    expect(p.client.sessions.size).toBe(0);
    opening.open();
    for (const errors of [p.farEvents.errors, p.nearEvents.errors]) errors.dismiss();
  },

  async 'session() waits for the attempt that is under way'(row) {
    const opening = gate();
    let wait = false;
    await using p = await pair(row, {
      near: { on: { onOpen: () => (wait ? opening.promise : undefined) } },
      client: { reconnect: SOON },
    });
    wait = true;
    p.near.destroy();
    await p.nearEvents.opened.take(2);
    const waiting = Promise.all([p.client.session(), p.client.session()]);
    await turns();
    opening.open();
    const [one, other] = await within(waiting, 'session()');
    expect(one).toBe(other);
    expect(p.client.sessions.size).toBe(1);
    for (const errors of [p.farEvents.errors, p.nearEvents.errors]) errors.dismiss();
  },

  async 'connect with a signal: ABORTED_BY_CALLER before, and while the session opens'(row) {
    const events = new Recorder<string>('the server');
    await using server = await serveAs(row, setupOf(row, events));
    const never = new Recorder<string>('the client that is never made');
    expect(
      await rejection(
        connectAs(row, server.address, setupOf(row, never), { signal: AbortSignal.abort('no') }),
      ),
    ).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      cause: 'no',
    });
    expect(never.log).toEqual([]);

    const opening = gate();
    const late = new Recorder<string>('the client', { onOpen: () => opening.promise });
    const caller = new AbortController();
    const connecting = rejection(
      connectAs(row, server.address, setupOf(row, late), { signal: caller.signal }),
    );
    await late.opened.next();
    caller.abort('enough');
    expect(await within(connecting, 'connect to reject')).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      message: expect.stringContaining(server.address),
      cause: 'enough',
    });
    await late.closed.next();
    opening.open();
  },

  async 'the signal of connect is for connecting only'(row) {
    const caller = new AbortController();
    await using p = await pair(row, { client: { signal: caller.signal } });
    caller.abort();
    p.near.write('still here');
    expect(await p.farEvents.messages.next()).toBe('still here');
    expect(p.client.closed).toBe(false);
  },
});

describe('tcp alone', () => {
  noLeaks();
  const setup = { codec: lines(), listener: { onMessage: () => {} } };
  type Lookup = (
    host: string,
    options: object,
    done: (error: Error | null, found?: { address: string; family: number }[]) => void,
  ) => void;
  const withLookup = async (lookup: Lookup, action: () => Promise<void>): Promise<void> => {
    const spy = vi.spyOn(dns, 'lookup').mockImplementation(lookup as unknown as typeof dns.lookup);
    try {
      await action();
    } finally {
      spy.mockRestore();
    }
  };

  it('connectTimeout: an attempt that gets no answer fails with the reason', () =>
    withLookup(
      () => {},
      async () => {
        const before = performance.now();
        const error = await rejection(
          connect('tcp://silent.example:1', setup, { connectTimeout: 40 }),
        );
        expect(performance.now() - before).toBeGreaterThan(35);
        expect(error).toMatchObject({
          code: 'CONNECT_FAILED',
          message:
            'cannot connect to tcp://silent.example:1: no connection within connectTimeout, 40 ms',
        });
      },
    ));

  it('a signal aborts an attempt that gets no answer', () =>
    withLookup(
      () => {},
      async () => {
        const caller = new AbortController();
        const connecting = rejection(
          connect('tcp://silent.example:1', setup, { signal: caller.signal }),
        );
        await turns(2);
        caller.abort('enough');
        expect(
          await within(connecting, 'connect to reject', CLIENT_DEFAULTS.connectTimeout / 2),
        ).toMatchObject({
          code: 'ABORTED_BY_CALLER',
          cause: 'enough',
        });
      },
    ));

  it('9: an unknown name is told as such', () =>
    withLookup(
      (host, _options, done) =>
        done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' })),
      async () => {
        expect(await rejection(connect('tcp://nowhere.example:1', setup))).toMatchObject({
          code: 'CONNECT_FAILED',
          message:
            'cannot connect to tcp://nowhere.example:1: getaddrinfo ENOTFOUND nowhere.example',
          cause: { code: 'ENOTFOUND' },
        });
      },
    ));

  it('9: a name with several addresses, all dead: the reason is not empty', async () => {
    const server = await serve('tcp://127.0.0.1:0', setup);
    await server.close();
    const both = [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ];
    await withLookup(
      (_host, _options, done) => done(null, both),
      async () => {
        const error = await rejection(
          connect(server.address.replace('127.0.0.1', 'two.example'), setup),
        );
        expect(error.cause).toBeInstanceOf(AggregateError);
        expect(error.message).toMatch(
          /cannot connect to tcp:\/\/two\.example:\d+: connect E.*::1.*, connect ECONNREFUSED 127\.0\.0\.1/,
        );
      },
    );
  });

  it('9: a refused connection tells its cause', async () => {
    const server = await serve('tcp://127.0.0.1:0', setup);
    await server.close();
    expect(await rejection(connect(server.address, setup))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('ECONNREFUSED'),
      cause: { code: 'ECONNREFUSED' },
    });
  });

  it('an address without a host listens on all interfaces, and connects to this machine', async () => {
    await using server = await serve('tcp://:0', setup);
    expect(server.address).toMatch(/^tcp:\/\/:\d+$/);
    await using client = await connect(server.address, setup);
    expect((await client.session()).closed).toBe(false);
  });
});

describe('memory alone', () => {
  noLeaks();

  it('a paused side that ended itself hears of the end before it is closed', async () => {
    const events: string[] = [];
    const record = (name: string): ConnectionEvents => ({
      onData: (bytes) => void events.push(`${name} data ${bytes}`),
      onEnd: () => void events.push(`${name} end`),
      onClose: () => void events.push(`${name} close`),
      onMessage() {},
      onAlive() {},
      onTaken() {},
    });
    let far!: Connection;
    const address = parseAddress('memory://paused', ['memory']);
    const listener = await memory.listen(address, {} as never, (connection) => {
      far = connection;
    });
    const near = await memory.dial(address, {} as never, new AbortController().signal);
    near.attach(record('near'), SESSION_DEFAULTS);
    far.attach(record('far'), SESSION_DEFAULTS);
    near.write(Buffer.from('last'));
    await turns(2);
    far.pause();
    near.end();
    far.end();
    await turns(5);
    expect(events).toEqual(['far data last', 'near end', 'near close']);
    far.resume();
    await turns(5);
    expect(events).toEqual(['far data last', 'near end', 'near close', 'far end', 'far close']);
    await listener.close();
  });

  it('an address without a name gets one', async () => {
    const setup = { codec: lines(), listener: { onMessage: () => {} } };
    await using one = await serve('memory://', setup);
    await using other = await serve('memory://', setup);
    expect(one.address).not.toBe(other.address);
    await using client = await connect(one.address, setup);
    expect((await client.session()).remoteAddress).toBe(one.address);
  });
});
