/** messageTimeout: how long a message may stay incomplete. */
import { describe, expect, it } from 'vitest';
import { type Codec, jsonLines, raw } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { transportsNamed } from '../fixtures/session-probes.js';
import { pair } from '../fixtures/transports.js';
import { gate, until } from '../fixtures/waiting.js';

describe.each(transportsNamed('tcp', 'memory', 'tls', 'tcp+deflate', 'tcp+snappy'))(
  'messageTimeout: $name',
  (row) => {
    noLeaks();
    const TIMEOUT = 150;
    const PERIOD = 50;
    const cron = { cronPeriod: PERIOD, on: { onCron() {} } };
    const limitedPair = (serverSide: object = {}) =>
      pair<Buffer, Uint8Array>(row, {
        clientSide: { codec: raw(), ...cron },
        serverSide: { messageTimeout: TIMEOUT, ...serverSide },
      });
    type LimitedPair = Awaited<ReturnType<typeof limitedPair>>;
    /** Waits for two and a half timeouts. */
    const waitBeyondTimeout = (p: LimitedPair): Promise<unknown> =>
      p.clientEvents.crons.take(Math.ceil((2.5 * TIMEOUT) / PERIOD));

    it('closes with MESSAGE_TIMEOUT when a message stays incomplete', async () => {
      await using p = await limitedPair();
      p.clientSession.writeBytes(Buffer.from('whole\nhal'));
      expect(await p.serverEvents.errors.next()).toMatchObject({
        code: 'MESSAGE_TIMEOUT',
        message: expect.stringMatching(
          /began a message \d+ ms ago and has not ended it; messageTimeout is 150 ms/,
        ),
      });
      await p.serverEvents.closed.next();
      expect(p.serverEvents.messages.all).toEqual(['whole']);
      await p.clientEvents.closed.next();
      p.clientEvents.errors.dismiss();
    });

    it('closes with MESSAGE_TIMEOUT when a message arrives byte by byte', async () => {
      await using p = await limitedPair();
      const sending = setInterval(
        () => p.clientSession.closed || p.clientSession.writeBytes(Buffer.from('x')),
        5,
      );
      const error = await p.serverEvents.errors.next().finally(() => clearInterval(sending));
      expect(error.code).toBe('MESSAGE_TIMEOUT');
      await p.serverEvents.closed.next();
      await p.clientEvents.closed.next();
      p.clientEvents.errors.dismiss();
    });

    it('does not limit the time between messages', async () => {
      await using p = await limitedPair();
      await waitBeyondTimeout(p);
      p.clientSession.writeBytes(Buffer.from('whole\n'));
      expect(await p.serverEvents.messages.next()).toBe('whole');
      await waitBeyondTimeout(p);
      expect(p.serverSession.closed).toBe(false);
    });

    it('does not count the time of bytes that the codec skips', async () => {
      await using p = await limitedPair({ codec: jsonLines() as unknown as Codec<string> });
      p.clientSession.writeBytes(Buffer.from('  '));
      await until(() => p.serverSession.stats.bytesRead === 2, 'the bytes have arrived');
      p.clientSession.writeBytes(Buffer.from('\n'));
      await waitBeyondTimeout(p);
      expect(p.serverSession.closed).toBe(false);
      p.clientSession.writeBytes(Buffer.from('7\n'));
      expect(await p.serverEvents.messages.next()).toBe(7);
    });

    it('does not count the time of a paused session', async () => {
      await using p = await limitedPair();
      p.clientSession.writeBytes(Buffer.from('hal'));
      await until(() => p.serverSession.stats.bytesRead === 3, 'half of the message has arrived');
      p.serverSession.pause();
      await waitBeyondTimeout(p);
      expect(p.serverSession.closed).toBe(false);
      p.clientSession.writeBytes(Buffer.from('f\n'));
      p.serverSession.resume();
      expect(await p.serverEvents.messages.next()).toBe('half');
    });

    it('does not count the time in which maxHandling stops the session', async () => {
      const working = gate();
      await using p = await limitedPair({
        maxHandling: 1,
        on: {
          onMessage: (_: unknown, line: string) => (line === 'work' ? working.promise : undefined),
        },
      });
      p.clientSession.writeBytes(Buffer.from('work\nhal'));
      await p.serverEvents.messages.next();
      await waitBeyondTimeout(p);
      expect(p.serverSession.closed).toBe(false);
      working.open();
      p.clientSession.writeBytes(Buffer.from('f\n'));
      expect(await p.serverEvents.messages.next()).toBe('half');
    });

    it('delivers a large message that is complete in time', async () => {
      await using p = await limitedPair({ messageTimeout: 30_000 });
      for (let i = 0; i < 10; i++) {
        p.clientSession.writeBytes(Buffer.alloc(20_000, 'x'));
        await p.clientEvents.crons.next();
      }
      p.clientSession.writeBytes(Buffer.from('\n'));
      expect((await p.serverEvents.messages.next()).length).toBe(200_000);
    });

    it('0 disables the timeout', async () => {
      await using p = await limitedPair({ messageTimeout: 0 });
      p.clientSession.writeBytes(Buffer.from('hal'));
      await waitBeyondTimeout(p);
      p.clientSession.writeBytes(Buffer.from('f\n'));
      expect(await p.serverEvents.messages.next()).toBe('half');
    });
  },
);
