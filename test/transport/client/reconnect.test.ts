/** When a client connects again, and when it stops. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type ClientState,
  connect,
  lines,
  type Setup,
  serve,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  loseSession,
  makeSessionsOld,
  newAddress,
  open,
  recordDelays,
  restoreMocks,
  SETUP,
} from '../../fixtures/reconnecting-clients.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import { rejection } from '../../fixtures/transports.js';
import { Inbox, until, within } from '../../fixtures/waiting.js';

noLeaks();
afterEach(restoreMocks);

describe('after a lost session the client', () => {
  it.each([
    [0, 400],
    [0.5, 800],
    [0.999, 1_199.2],
  ])('waits for initialDelay × 0.5 to 1.5 (random: %d)', async (random, expected) => {
    await using server = await serve(newAddress(), SETUP);
    await using client = await open(server.address, { initialDelay: 800 });
    await client.session();
    makeSessionsOld();
    vi.spyOn(Math, 'random').mockReturnValue(random);
    const delays = recordDelays();
    await loseSession(server, client);
    expect(delays.some((delay) => Math.abs(delay - expected) < 0.001)).toBe(true);
    expect(client.state).toBe('down');
    expect(await rejection(client.session())).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  it('waits at most maxDelay', async () => {
    await using server = await serve(newAddress(), SETUP);
    await using client = await open(server.address, { initialDelay: 9_000, maxDelay: 6_000 });
    makeSessionsOld();
    vi.spyOn(Math, 'random').mockReturnValue(0.999999);
    const delays = recordDelays();
    await loseSession(server, client);
    const delay = delays.find((one) => one > 5_900) as number;
    expect(delay).toBeLessThanOrEqual(6_000);
  });

  it('connects again after the delay', async () => {
    const opened = new Inbox<number>('a session');
    await using server = await serve(newAddress(), {
      codec: lines(),
      listener: { onOpen: () => opened.push(performance.now()), onMessage() {} },
    });
    await using client = await open(server.address, { initialDelay: 60 });
    await opened.next();
    makeSessionsOld();
    const lostAt = performance.now();
    await loseSession(server, client);
    // A timer may fire up to a millisecond early.
    expect((await opened.next()) - lostAt).toBeGreaterThan(29);
    expect((await client.session()).closed).toBe(false);
  });
});

describe('reconnect.maxAttempts', () => {
  it('stops the client after so many failed attempts, and is in its error', async () => {
    const server = await serve(newAddress(), SETUP);
    const states = new Inbox<string>('a state');
    const onState = (state: ClientState, reason?: Error): void =>
      states.push(`${state} ${reason?.message.includes('maxAttempts, 3, is reached') ?? ''}`);
    await using client = await open(
      server.address,
      { initialDelay: 1, maxDelay: 2, maxAttempts: 3 },
      { onState },
    );
    makeSessionsOld();
    await server.close();
    const lost = ['ready ', 'down false'];
    const failed = ['connecting false', 'down false'];
    expect(await states.take(8)).toEqual([
      ...lost,
      ...failed,
      ...failed,
      'connecting false',
      'down true',
    ]);
    const error = await rejection(client.session());
    expect(error).toMatchObject({ code: 'CONNECT_FAILED', cause: { code: 'CONNECT_FAILED' } });
    expect(error.message).toContain('maxAttempts, 3, is reached');
    await using _again = await serve(server.address, SETUP);
    await untilQuiet();
    expect([client.state, states.unread]).toEqual(['down', []]);
  });

  it('counts a session that ends within 1 s as a failed attempt', async () => {
    let attempts = 0;
    await using server = await serve<string>(newAddress(), () => {
      attempts++;
      throw new Error('full');
    });
    await using client = await open(server.address, {
      initialDelay: 1,
      maxDelay: 1,
      maxAttempts: 4,
    });
    await until(() => attempts === 4 && client.state === 'down', 'four attempts');
    await untilQuiet();
    expect(attempts).toBe(4);
    expect(await rejection(client.session())).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('maxAttempts, 4'),
    });
  });

  it('counts from 0 after a session that lasted', async () => {
    const address = newAddress();
    const first = await serve(address, SETUP);
    const states = new Inbox<ClientState>('a state');
    const reconnect = { initialDelay: 1, maxDelay: 200, maxAttempts: 1_000 };
    await using client = await open(address, reconnect, { onState: (state) => states.push(state) });
    makeSessionsOld();
    await first.close();
    expect(await states.take(6)).toEqual([
      'ready',
      'down',
      'connecting',
      'down',
      'connecting',
      'down',
    ]);
    const second = await serve(address, SETUP);
    await until(() => client.state === 'ready', 'the client is connected again');
    makeSessionsOld();
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const delays = recordDelays();
    await loseSession(second, client);
    // Half of initialDelay: no failure is counted.
    expect(delays).toContain(0.5);
    await second.close();
  });
});

describe('reconnect.retryFirst', () => {
  it('retries until a server listens', async () => {
    const address = newAddress();
    const states: string[] = [];
    const connecting = open(
      address,
      { initialDelay: 1, maxDelay: 2, retryFirst: true },
      { onState: (state) => void states.push(state) },
    );
    await until(
      () => states.filter((state) => state === 'connecting').length >= 3,
      'three attempts',
    );
    await using _server = await serve(address, SETUP);
    await using client = await within(connecting, 'the client to connect');
    expect(client.state).toBe('ready');
    expect((await client.session()).closed).toBe(false);
  });

  it('is false by default: connect() rejects after the first failure', async () => {
    for (const reconnect of [true, false, {}, { retryFirst: false }]) {
      expect(await rejection(open(newAddress(), reconnect))).toMatchObject({
        code: 'CONNECT_FAILED',
      });
    }
  });

  it('rejects when maxAttempts is reached', async () => {
    const delays = recordDelays();
    const error = await rejection(
      open(newAddress(), { initialDelay: 1, maxDelay: 2, retryFirst: true, maxAttempts: 3 }),
    );
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('maxAttempts, 3, is reached'),
    });
    // Two delays between three attempts, without the timers of connectTimeout.
    expect(delays.filter((delay) => delay <= 2).length).toBe(2);
  });

  it('retries when onOpen refuses the session', async () => {
    await using server = await serve(newAddress(), SETUP);
    let refusals = 2;
    const onOpen = (): void => {
      if (refusals-- > 0) throw new Error('not yet');
    };
    const setup: Setup<string> = {
      codec: lines(),
      listener: { onOpen, onMessage() {}, onError() {} },
    };
    await using client = await connect(server.address, setup, {
      reconnect: { initialDelay: 1, maxDelay: 2, retryFirst: true },
    });
    expect(client.state).toBe('ready');
    expect(refusals).toBe(-1);
  });

  it('stops during a delay when the signal aborts', async () => {
    const caller = new AbortController();
    const states: string[] = [];
    const connecting = rejection(
      open(
        newAddress(),
        { initialDelay: 60_000, maxDelay: 60_000, retryFirst: true },
        { signal: caller.signal, onState: (state) => void states.push(state) },
      ),
    );
    await until(() => states.includes('down'), 'the first failure');
    caller.abort('enough');
    expect(await within(connecting, 'connect to reject')).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      cause: 'enough',
    });
  });

  it('does not retry after BAD_OPTION and BAD_ADDRESS', async () => {
    const reconnect = { initialDelay: 60_000, maxDelay: 60_000, retryFirst: true };
    const invalidOptions = connect(newAddress(), SETUP, { reconnect, connections: 0 });
    expect(await rejection(within(invalidOptions, 'connect to reject'))).toMatchObject({
      code: 'BAD_OPTION',
    });
    const longPath = open(`unix:///${'x'.repeat(200)}`, reconnect);
    expect(await rejection(within(longPath, 'connect to reject'))).toMatchObject({
      code: 'BAD_ADDRESS',
    });
    await using server = await serve(newAddress(), SETUP);
    const invalidSetup = connect(
      server.address,
      () => ({ ...(SETUP as object), idleTimeout: -1 }) as never,
      { reconnect },
    );
    expect(await rejection(within(invalidSetup, 'connect to reject'))).toMatchObject({
      code: 'BAD_OPTION',
    });
  });
});

it.each<[object, string]>([
  [{ maxAttempts: 0 }, 'maxAttempts: got 0, expected an integer from 1'],
  [{ maxAttempts: '3' }, 'maxAttempts: got "3"'],
  [{ retryFirst: 1 }, 'retryFirst: got 1, expected a boolean'],
])('reconnect rejects %o with BAD_OPTION', async (reconnect, message) => {
  expect(await rejection(open(newAddress(), reconnect))).toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining(message),
  });
});
