/**
 * What clients do when no server answers, and when they are closed. The same on every transport.
 */
import { expect } from 'vitest';
import { Recorder } from '../../fixtures/recorder.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import {
  connectAs,
  pair,
  rejection,
  runForEveryTransport,
  serveAs,
  setupOf,
  type TransportRow,
} from '../../fixtures/transports.js';
import { gate, turns, until, within } from '../../fixtures/waiting.js';

const SHORT_DELAYS = { initialDelay: 5, maxDelay: 20 };

/** An address at which nothing listens. */
async function unusedAddress(row: TransportRow): Promise<string> {
  const server = await serveAs(row, setupOf(row, new Recorder<string>('the closed server')));
  await server.close();
  return server.address;
}

runForEveryTransport({
  async 'waits longer after each session that the server refuses'(row) {
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
    // At least half of 16, 32, 64 and 128 ms. Each timer may fire up to a millisecond early.
    expect((attempts[4] as number) - (attempts[0] as number)).toBeGreaterThan(8 + 16 + 32 + 64 - 4);
    expect(client.sessions.size).toBeLessThanOrEqual(1);
  },

  async 'waits longer after each session that its own onOpen refuses'(row) {
    let refuse = false;
    const attempts: number[] = [];
    const onOpen = (): void => {
      attempts.push(performance.now());
      if (refuse) throw new Error('not now');
    };
    await using p = await pair(row, {
      clientSide: { on: { onOpen } },
      client: { reconnect: { initialDelay: 16 } },
    });
    refuse = true;
    p.clientSession.destroy();
    await until(() => attempts.length === 5, 'five attempts');
    expect((attempts[4] as number) - (attempts[0] as number)).toBeGreaterThan(8 + 16 + 32 + 64 - 4);
    await until(() => p.clientEvents.closed.all.length === 5, 'all refused sessions are closed');
    for (const errors of [p.serverEvents.errors, p.clientEvents.errors]) errors.dismiss();
  },

  async 'rejects connect() at once, with the reason, if nothing listens'(row) {
    const address = await unusedAddress(row);
    const setup = setupOf(row, new Recorder<string>('the client'));
    // An attempt that waits for connectTimeout would exceed the limit of the test.
    const error = await rejection(connectAs(row, address, setup, { connectTimeout: 300_000 }));
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining(`cannot connect to ${address}: `),
    });
  },

  async 'rejects session() at once, with the reason, while the server cannot be reached'(row) {
    await using p = await pair(row, {
      client: { reconnect: { initialDelay: 1, maxDelay: 300_000 } },
    });
    await p.server.close();
    await p.clientEvents.closed.next();
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

  async 'rejects session() with ENDPOINT_CLOSED after close(), and dials no more'(row) {
    await using p = await pair(row, { client: { connections: 2, reconnect: SHORT_DELAYS } });
    await p.client.close();
    expect(p.client.closed).toBe(true);
    expect(p.client.sessions.size).toBe(0);
    expect(await rejection(p.client.session())).toMatchObject({
      code: 'ENDPOINT_CLOSED',
      message: expect.stringContaining(p.client.address),
    });
    const opened = p.clientEvents.opened.all.length;
    // noLeaks() also fails for a retry timer that is left.
    await untilQuiet();
    expect(p.clientEvents.opened.all.length).toBe(opened);
  },

  async 'settles close() at once between two attempts'(row) {
    await using p = await pair(row, {
      client: { reconnect: { initialDelay: 300_000, maxDelay: 300_000 } },
    });
    await p.server.close();
    await p.clientEvents.closed.next();
    await within(p.client.close(), 'the client to close');
  },

  async 'closes the session that is opening, and rejects session() with ENDPOINT_CLOSED'(row) {
    const opening = gate();
    let wait = false;
    await using p = await pair(row, {
      clientSide: { waitTime: 20, on: { onOpen: () => (wait ? opening.promise : undefined) } },
      client: { reconnect: SHORT_DELAYS },
    });
    wait = true;
    p.clientSession.destroy();
    await p.clientEvents.opened.take(2);
    const waiting = rejection(p.client.session());
    await turns();
    const closing = p.client.close();
    expect((await within(waiting, 'session() to reject')).code).toBe('ENDPOINT_CLOSED');
    await within(closing, 'the client to close');
    expect(p.client.sessions.size).toBe(0);
    opening.open();
    for (const errors of [p.serverEvents.errors, p.clientEvents.errors]) errors.dismiss();
  },
});
