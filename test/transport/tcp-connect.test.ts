/** The errors of a TCP connection attempt, and addresses without a host. */
import dns from 'node:dns';
import { expect, it, vi } from 'vitest';
import { CLIENT_DEFAULTS, connect, lines, serve } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { rejection } from '../fixtures/transports.js';
import { turns, within } from '../fixtures/waiting.js';

noLeaks();

const setup = { codec: lines(), listener: { onMessage: () => {} } };

type Lookup = (
  host: string,
  options: object,
  done: (error: Error | null, found?: { address: string; family: number }[]) => void,
) => void;

/** Replaces the lookup of host names while `action` runs. */
async function withLookup(lookup: Lookup, action: () => Promise<void>): Promise<void> {
  const spy = vi.spyOn(dns, 'lookup').mockImplementation(lookup as unknown as typeof dns.lookup);
  try {
    await action();
  } finally {
    spy.mockRestore();
  }
}

/** The address of a server that has closed. */
async function unusedAddress(): Promise<string> {
  const server = await serve('tcp://127.0.0.1:0', setup);
  await server.close();
  return server.address;
}

it('rejects with CONNECT_FAILED after connectTimeout', () =>
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

it('rejects with ABORTED_BY_CALLER when the signal aborts during the attempt', () =>
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

it('rejects with the error of the lookup for an unknown host name', () =>
  withLookup(
    (host, _options, done) =>
      done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' })),
    async () => {
      expect(await rejection(connect('tcp://nowhere.example:1', setup))).toMatchObject({
        code: 'CONNECT_FAILED',
        message: 'cannot connect to tcp://nowhere.example:1: getaddrinfo ENOTFOUND nowhere.example',
        cause: { code: 'ENOTFOUND' },
      });
    },
  ));

it('names the error of each address if all addresses of a host name fail', async () => {
  const address = await unusedAddress();
  const both = [
    { address: '::1', family: 6 },
    { address: '127.0.0.1', family: 4 },
  ];
  await withLookup(
    (_host, _options, done) => done(null, both),
    async () => {
      const error = await rejection(connect(address.replace('127.0.0.1', 'two.example'), setup));
      expect(error.cause).toBeInstanceOf(AggregateError);
      expect(error.message).toMatch(
        /cannot connect to tcp:\/\/two\.example:\d+: connect E.*::1.*, connect ECONNREFUSED 127\.0\.0\.1/,
      );
    },
  );
});

it('rejects with ECONNREFUSED as the cause if nothing listens', async () => {
  expect(await rejection(connect(await unusedAddress(), setup))).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining('ECONNREFUSED'),
    cause: { code: 'ECONNREFUSED' },
  });
});

it('listens on all interfaces and connects to this machine at an address without a host', async () => {
  await using server = await serve('tcp://:0', setup);
  expect(server.address).toMatch(/^tcp:\/\/:\d+$/);
  await using client = await connect(server.address, setup);
  expect((await client.session()).closed).toBe(false);
});
