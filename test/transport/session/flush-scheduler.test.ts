/** When sessions flush their queued bytes, and the clock that is read once per turn. */
import { describe, expect, it } from 'vitest';
import { type GettyError, raw } from '../../../src/transport/index.js';
import {
  beginEvent,
  endEvent,
  flushSoon,
  now,
} from '../../../src/transport/session/flush-scheduler.js';
import { TransportSession } from '../../../src/transport/session/session.js';
import { resolveSetup } from '../../../src/transport/session/session-options.js';
import { HoldingConnection } from '../../fixtures/holding-connection.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { turns } from '../../fixtures/waiting.js';

describe('now', () => {
  it('never decreases, and follows performance.now()', async () => {
    let last = now();
    for (let turn = 0; turn < 50; turn++) {
      for (let i = 0; i < 10; i++) {
        const next = now();
        expect(next).toBeGreaterThanOrEqual(last);
        expect(next).toBeLessThanOrEqual(performance.now());
        last = next;
      }
      await turns();
    }
    const before = performance.now();
    await turns(2);
    expect(now()).toBeGreaterThanOrEqual(before);
  });

  it('is read once per turn of the event loop', async () => {
    await turns(2);
    const first = now();
    const busyUntil = performance.now() + 3;
    while (performance.now() < busyUntil);
    expect(now()).toBe(first);
    await turns(2);
    expect(now()).toBeGreaterThan(first + 2);
  });
});

describe('a flush', () => {
  it('runs at the end of the tick, in the order of the requests', async () => {
    const flushed: string[] = [];
    for (const name of ['one', 'other']) flushSoon({ flush: () => flushed.push(name) });
    expect(flushed).toEqual([]);
    await Promise.resolve();
    await turns();
    expect(flushed).toEqual(['one', 'other']);
  });

  it('that throws does not keep others of the tick from being flushed', async () => {
    const uncaught: unknown[] = [];
    const listeners = process.rawListeners(
      'uncaughtException',
    ) as NodeJS.UncaughtExceptionListener[];
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => void uncaught.push(error));
    const flushed: string[] = [];
    const failure = new Error('not flushed');
    const fail = (): never => {
      throw failure;
    };
    flushSoon({ flush: fail });
    flushSoon({ flush: () => flushed.push('one') });
    await turns();
    beginEvent();
    flushSoon({ flush: fail });
    flushSoon({ flush: () => flushed.push('two') });
    endEvent();
    expect(flushed).toEqual(['one', 'two']);
    await turns();
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
    expect(uncaught).toEqual([failure, failure]);
  });

  it('runs at the end of an event, and again after the promise callbacks of the event', async () => {
    const log: string[] = [];
    const write = (what: string): void => {
      log.push(`${what} writes`);
      flushSoon({ flush: () => log.push(`${what} is flushed`) });
    };
    const before = performance.now();
    beginEvent();
    write('the event');
    const time = now();
    void Promise.resolve().then(() => write('a continuation'));
    void Promise.resolve().then(() => write('another'));
    endEvent();
    expect(log).toEqual(['the event writes', 'the event is flushed']);
    expect(time).toBeGreaterThanOrEqual(before);
    await turns();
    expect(log.slice(2)).toEqual([
      'a continuation writes',
      'another writes',
      'a continuation is flushed',
      'another is flushed',
    ]);
    expect(now()).toBeGreaterThan(time);
  });
});

interface Side {
  readonly session: TransportSession<Buffer, Uint8Array>;
  /** The sizes of the writes since the last call, in order. */
  takeWriteSizes(): number[];
}

/** A session over a connection that takes all bytes at once. */
async function openSession(): Promise<Side> {
  const connection = new HoldingConnection();
  const owner = { onSessionClosed() {}, type: 'client' } as never;
  const session = new TransportSession<Buffer, Uint8Array>(
    owner,
    connection,
    resolveSetup({ codec: raw(), listener: { onMessage() {} } }),
  );
  await session.open();
  return { session, takeWriteSizes: () => connection.taken.splice(0).map(({ length }) => length) };
}

const MESSAGE = Buffer.alloc(100);

describe('the messages of a tick', () => {
  noLeaks();

  it('are sent in portions of 1, 8 and 64 KiB while one or two sessions write', async () => {
    const sides = [await openSession(), await openSession()];
    for (let tick = 0; tick < 2; tick++) {
      for (const { session } of sides) session.write(MESSAGE);
      await turns();
      for (const { takeWriteSizes } of sides) expect(takeWriteSizes()).toEqual([100]);
    }
    for (let tick = 0; tick < 3; tick++) {
      for (const { session } of sides) for (let i = 0; i < 2_000; i++) session.write(MESSAGE);
      await turns();
      for (const { takeWriteSizes } of sides)
        expect(takeWriteSizes()).toEqual([1_100, 8_200, 65_600, 65_600, 59_500]);
    }
    for (const { session } of sides) session.destroy();
  });

  it('are sent at its end and every 64 KiB when three or more sessions write', async () => {
    const sides = [await openSession(), await openSession(), await openSession()];
    for (let tick = 0; tick < 3; tick++) {
      for (const { session } of sides) for (let i = 0; i < 700; i++) session.write(MESSAGE);
      await turns();
      for (const { takeWriteSizes } of sides) expect(takeWriteSizes()).toEqual([65_600, 4_400]);
    }
    for (const { session } of sides) session.destroy();
  });
});

describe('a connection that throws', () => {
  noLeaks();

  it.each(['write', 'end'] as const)(
    'in %s() ends its session with CONNECTION_LOST',
    async (method) => {
      const connection = new HoldingConnection();
      const errors: GettyError[] = [];
      const owner = { onSessionClosed() {}, type: 'client' } as never;
      const session = new TransportSession<Buffer, Uint8Array>(
        owner,
        connection,
        resolveSetup({
          codec: raw(),
          listener: { onMessage() {}, onError: (_, error) => void errors.push(error) },
        }),
      );
      await session.open();
      connection[method] = () => {
        throw new Error('the stream fails');
      };
      const closing = method === 'write' ? session.ended() : session.close();
      if (method === 'write') expect(session.write(Buffer.alloc(100_000))).toBe(true);
      expect(session.closed).toBe(true);
      await closing;
      expect(errors).toMatchObject([{ code: 'CONNECTION_LOST' }]);
      expect(errors[0]?.message).toContain('the stream fails');
    },
  );
});
