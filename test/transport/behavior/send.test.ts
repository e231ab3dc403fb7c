/** What send() reports, and how a closed session rejects writes. The same on every transport. */
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { lengthPrefixed, type SendError } from '../../../src/transport/index.js';
import { fillQueues, untilQuiet } from '../../fixtures/session-probes.js';
import { pair, rejection, runForEveryTransport, thrown } from '../../fixtures/transports.js';
import { turns, within } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'settles send() with the number of bytes that the system has accepted'(row) {
    await using p = await pair(row);
    expect(
      await Promise.all([
        p.clientSession.send('hello'),
        p.clientSession.send(''),
        p.clientSession.send('grün'),
      ]),
    ).toEqual([
      { encodedBytes: 6, sentBytes: 6 },
      { encodedBytes: 1, sentBytes: 1 },
      { encodedBytes: 6, sentBytes: 6 },
    ]);
    expect(p.clientSession.queuedBytes).toBe(0);
    expect(await p.serverEvents.messages.take(3)).toEqual(['hello', '', 'grün']);
  },

  async 'rejects send() at its timeout or its signal with the bytes sent, and stays open'(row) {
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      serverSide: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const count = await fillQueues(p.clientSession);
    const caller = new AbortController();
    const timedOut = rejection<SendError>(
      p.clientSession.send(Buffer.from('late'), { timeout: 30 }),
    );
    const aborted = rejection<SendError>(
      p.clientSession.send(Buffer.from('unwanted'), { signal: caller.signal }),
    );
    const unlimited = p.clientSession.send(Buffer.from('patient'));
    expect(await timedOut).toMatchObject({
      name: 'SendError',
      code: 'SEND_TIMEOUT',
      encodedBytes: 8,
      sentBytes: 0,
      message: expect.stringMatching(/within 30 ms; 0 of 8 bytes/),
    });
    caller.abort('changed my mind');
    expect(await aborted).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      encodedBytes: 12,
      sentBytes: 0,
      cause: 'changed my mind',
    });
    p.serverSession.resume();
    expect(await within(unlimited, 'the send without a limit')).toEqual({
      encodedBytes: 11,
      sentBytes: 11,
    });
    const got = await p.serverEvents.messages.take(count + 3);
    expect(got.slice(-3).map(String)).toEqual(['late', 'unwanted', 'patient']);
  },

  async 'sends nothing for an aborted or invalid signal or an invalid timeout'(row) {
    await using p = await pair(row);
    expect(
      await rejection(p.clientSession.send('never', { signal: AbortSignal.abort('no') })),
    ).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      encodedBytes: 0,
      sentBytes: 0,
      cause: 'no',
    });
    expect(await rejection(p.clientSession.send('never', { timeout: -1 }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('timeout: got -1'),
    });
    for (const signal of [null, 5, {}, { aborted: false, addEventListener() {} }])
      expect(
        await rejection(p.clientSession.send('never', { signal: signal as never })),
      ).toMatchObject({ code: 'BAD_OPTION', encodedBytes: 0 });
    p.clientSession.write('first');
    expect(await p.serverEvents.messages.next()).toBe('first');
  },

  async 'rejects every pending send() when the session is destroyed'(row) {
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      serverSide: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    await fillQueues(p.clientSession);
    const sends = Array.from({ length: 20 }, () =>
      rejection<SendError>(p.clientSession.send(randomBytes(1_000))),
    );
    const drained = rejection(p.clientSession.drained());
    await untilQuiet();
    p.clientSession.destroy();
    for (const error of await within(Promise.all(sends), 'the sends to fail')) {
      expect(error).toMatchObject({ code: 'SESSION_CLOSED', encodedBytes: 1_004, sentBytes: 0 });
    }
    expect((await drained).code).toBe('SESSION_CLOSED');
  },

  async 'rejects every pending send() when the peer is destroyed'(row) {
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      serverSide: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    await fillQueues(p.clientSession);
    const sends = Array.from({ length: 20 }, () =>
      rejection<SendError>(p.clientSession.send(randomBytes(1_000))),
    );
    await untilQuiet();
    p.serverSession.destroy();
    // Writes before the loss is noticed must not make lost bytes count as sent.
    for (let i = 0; i < 20 && !p.clientSession.closed; i++) {
      p.clientSession.write(randomBytes(50_000));
      await turns();
    }
    for (const error of await within(Promise.all(sends), 'the sends to fail'))
      expect(error).toMatchObject({ code: 'SESSION_CLOSED', sentBytes: 0 });
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
  },

  async 'throws SESSION_CLOSED from every method that writes to a closed session'(row) {
    await using p = await pair(row);
    await p.clientSession.close();
    for (const write of [
      () => p.clientSession.write('x'),
      () => p.clientSession.writeBytes(Buffer.from('x')),
      () => p.clientSession.writeBytesArray([]),
    ]) {
      expect(thrown(write)).toMatchObject({
        code: 'SESSION_CLOSED',
        message: expect.stringContaining(p.clientSession.remoteAddress),
      });
    }
    expect(await rejection(p.clientSession.send('x'))).toMatchObject({
      code: 'SESSION_CLOSED',
      encodedBytes: 0,
      sentBytes: 0,
    });
    expect((await rejection(p.clientSession.drained())).code).toBe('SESSION_CLOSED');
  },
});
