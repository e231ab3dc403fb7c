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
    const limitedPair = (far: object = {}) =>
      pair<Buffer, Uint8Array>(row, {
        near: { codec: raw(), ...cron },
        far: { messageTimeout: TIMEOUT, ...far },
      });
    type LimitedPair = Awaited<ReturnType<typeof limitedPair>>;
    /** Waits for two and a half timeouts. */
    const waitBeyondTimeout = (p: LimitedPair): Promise<unknown> =>
      p.nearEvents.crons.take(Math.ceil((2.5 * TIMEOUT) / PERIOD));

    it('closes with MESSAGE_TIMEOUT when a message stays incomplete', async () => {
      await using p = await limitedPair();
      p.near.writeBytes(Buffer.from('whole\nhal'));
      expect(await p.farEvents.errors.next()).toMatchObject({
        code: 'MESSAGE_TIMEOUT',
        message: expect.stringMatching(
          /began a message \d+ ms ago and has not ended it; messageTimeout is 150 ms/,
        ),
      });
      await p.farEvents.closed.next();
      expect(p.farEvents.messages.all).toEqual(['whole']);
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
    });

    it('closes with MESSAGE_TIMEOUT when a message arrives byte by byte', async () => {
      await using p = await limitedPair();
      const sending = setInterval(() => p.near.closed || p.near.writeBytes(Buffer.from('x')), 5);
      const error = await p.farEvents.errors.next().finally(() => clearInterval(sending));
      expect(error.code).toBe('MESSAGE_TIMEOUT');
      await p.farEvents.closed.next();
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
    });

    it('does not limit the time between messages', async () => {
      await using p = await limitedPair();
      await waitBeyondTimeout(p);
      p.near.writeBytes(Buffer.from('whole\n'));
      expect(await p.farEvents.messages.next()).toBe('whole');
      await waitBeyondTimeout(p);
      expect(p.far.closed).toBe(false);
    });

    it('does not count the time of bytes that the codec skips', async () => {
      await using p = await limitedPair({ codec: jsonLines() as unknown as Codec<string> });
      p.near.writeBytes(Buffer.from('  '));
      await until(() => p.far.stats.bytesRead === 2, 'the bytes have arrived');
      p.near.writeBytes(Buffer.from('\n'));
      await waitBeyondTimeout(p);
      expect(p.far.closed).toBe(false);
      p.near.writeBytes(Buffer.from('7\n'));
      expect(await p.farEvents.messages.next()).toBe(7);
    });

    it('does not count the time of a paused session', async () => {
      await using p = await limitedPair();
      p.near.writeBytes(Buffer.from('hal'));
      await until(() => p.far.stats.bytesRead === 3, 'half of the message has arrived');
      p.far.pause();
      await waitBeyondTimeout(p);
      expect(p.far.closed).toBe(false);
      p.near.writeBytes(Buffer.from('f\n'));
      p.far.resume();
      expect(await p.farEvents.messages.next()).toBe('half');
    });

    it('does not count the time in which maxHandling stops the session', async () => {
      const working = gate();
      await using p = await limitedPair({
        maxHandling: 1,
        on: {
          onMessage: (_: unknown, line: string) => (line === 'work' ? working.promise : undefined),
        },
      });
      p.near.writeBytes(Buffer.from('work\nhal'));
      await p.farEvents.messages.next();
      await waitBeyondTimeout(p);
      expect(p.far.closed).toBe(false);
      working.open();
      p.near.writeBytes(Buffer.from('f\n'));
      expect(await p.farEvents.messages.next()).toBe('half');
    });

    it('delivers a large message that is complete in time', async () => {
      await using p = await limitedPair({ messageTimeout: 30_000 });
      for (let i = 0; i < 10; i++) {
        p.near.writeBytes(Buffer.alloc(20_000, 'x'));
        await p.nearEvents.crons.next();
      }
      p.near.writeBytes(Buffer.from('\n'));
      expect((await p.farEvents.messages.next()).length).toBe(200_000);
    });

    it('0 disables the timeout', async () => {
      await using p = await limitedPair({ messageTimeout: 0 });
      p.near.writeBytes(Buffer.from('hal'));
      await waitBeyondTimeout(p);
      p.near.writeBytes(Buffer.from('f\n'));
      expect(await p.farEvents.messages.next()).toBe('half');
    });
  },
);
