/** Waits that one event ends: calls, queued calls, timers and promises. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { followSignal } from '../../../../src/core/signals.js';
import { LongTimer } from '../../../../src/core/timers.js';
import { settleInTurns } from '../../../../src/core/turn.js';
import {
  type CallOptions,
  concurrencyLimit,
  contract,
  implement,
  jwt,
  type RpcClientOptions,
  serve,
  serverStream,
  unary,
} from '../../../../src/rpc/index.js';
import { clientCall } from '../../../fixtures/calls.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { RawPeer } from '../../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress } from '../../../fixtures/rpc.js';
import { jsonRequest } from '../../../fixtures/rpc-frames.js';
import { turns, until } from '../../../fixtures/waiting.js';
import { block, LIMIT, mostPerTurn } from './turn-budget.js';

noLeaks();

describe('waits that end together end in many turns', () => {
  const count = 8_000;
  const big = {
    maxPendingCalls: count + 1,
    session: { maxQueuedBytes: 2 ** 30, highWaterMark: 2 ** 30, maxHandling: count + 1 },
  };
  const Wait = contract('Feed', { double: unary<number, number>() });

  test.each<[string, (signal: AbortSignal) => { options?: RpcClientOptions; call?: CallOptions }]>([
    ['calls with one signal', (signal) => ({ call: { signal } })],
    [
      'calls with one signal in the queue of concurrencyLimit()',
      (signal) => ({
        call: { signal },
        options: {
          interceptors: [concurrencyLimit({ limit: 1, queue: count, queueTimeout: 2 * LIMIT })],
        },
      }),
    ],
  ])(
    '%s',
    async (_, optionsFor) => {
      const abort = new AbortController();
      const { options, call } = optionsFor(abort.signal);
      let began = 0;
      const wait = implement(Wait, { double: () => new Promise(() => began++) });
      await using server = await serve(freeMemoryAddress(), [wait], big);
      await using client = await connectOnce(server.address, { ...big, ...options });
      const stub = client.stub(Wait);
      let failed = 0;
      for (let n = 0; n < count; n++)
        stub.double(n, { timeout: 2 * LIMIT, ...call }).catch(() => failed++);
      await until(
        () => began === (options === undefined ? count : 1),
        'the calls are under way',
        LIMIT,
      );
      const most = await mostPerTurn(
        () => failed,
        async () => {
          abort.abort();
          await until(() => failed === count, 'all have failed', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 4);
      client.destroy();
      server.destroy();
    },
    2 * LIMIT,
  );

  test(
    'calls in the queue of concurrencyLimit() that are admitted together',
    async () => {
      const few = 300;
      let ended = 0;
      const limit = concurrencyLimit({ limit: 1, queue: few, queueTimeout: LIMIT });
      let release!: () => void;
      const first = new Promise<void>((resolve) => {
        release = resolve;
      });
      let calls = 0;
      const invoke = limit(async () => {
        if (calls++ === 0) return first;
        block(1);
        return undefined;
      });
      for (let n = 0; n < few; n++) void invoke(clientCall()).then(() => ended++);
      const most = await mostPerTurn(
        () => ended,
        async () => {
          release();
          await until(() => ended === few, 'all have ended', LIMIT);
        },
      );
      expect(most).toBeLessThan(few / 2);
    },
    2 * LIMIT,
  );

  test.each([
    ['reads again', (peer: RawPeer) => peer.session.resume()],
    ['ends', (peer: RawPeer) => peer.session.destroy()],
  ])(
    'streams that wait because their peer does not read, when it %s',
    async (_, go) => {
      const few = 300;
      // The first streams have sent all that their credit allows, and wait for more.
      const withoutCredit = 10;
      let ended = 0;
      let isOver = false;
      const Texts = contract('Feed', { list: serverStream<number, string>() });
      const texts = implement(Texts, {
        async *list() {
          try {
            while (!isOver) yield 'x'.repeat(500);
          } finally {
            block(1);
            ended++;
          }
        },
      });
      await using server = await serve(freeMemoryAddress(), [texts]);
      await using peer = await RawPeer.connect(server.address);
      peer.session.pause();
      for (let n = 0; n < few; n++) {
        const request = { sequence: BigInt(2 * n + 3), serviceId: 1 };
        await peer.send(jsonRequest('Feed', 'list', n, request));
      }
      const queued = () => server.statistics().peers[0]?.queuedBytes ?? 0;
      await until(() => queued() >= 256 * 1024, 'the streams wait', LIMIT);
      await turns(5);
      const most = await mostPerTurn(
        () => ended,
        async () => {
          isOver = true;
          go(peer);
          await until(() => ended >= few - withoutCredit, 'the streams have ended', LIMIT);
        },
      );
      expect(most).toBeLessThan(few / 2);
      peer.session.destroy();
      server.destroy();
    },
    2 * LIMIT,
  );

  test(
    'tokens of jwt() whose signatures are verified together',
    async () => {
      const few = 2_000;
      const credentials = { metadata: {}, certificate: undefined, request: undefined, peer: '' };
      const verify = jwt({
        keys: new Uint8Array(32),
        issuer: 'https://issuer.example',
        audience: 'vault',
      });
      const token = await new SignJWT({ sub: 'ann' })
        .setProtectedHeader({ alg: 'HS256' })
        .sign(new Uint8Array(32).fill(1));
      let failed = 0;
      const send = (): void =>
        void Promise.resolve(verify({ token, ...credentials })).catch(() => failed++);
      send();
      await until(() => failed === 1, 'the first verifier is ready', LIMIT);
      const most = await mostPerTurn(
        () => failed,
        async () => {
          for (let n = 1; n < few; n++) send();
          // Without a limit, all signatures have been verified by the end of this turn.
          block(200);
          await until(() => failed === few, 'all have failed', LIMIT);
        },
      );
      expect(most).toBeLessThan(few / 4);
    },
    2 * LIMIT,
  );

  test('timers', async () => {
    const few = 500;
    let ended = 0;
    const timers: LongTimer[] = [];
    for (let n = 0; n < few; n++) {
      timers.push(
        new LongTimer(() => {
          block(1);
          ended++;
          // The last timer has mostly expired by now, and waits for a turn.
          if (ended === few / 2) timers.at(-1)?.cancel();
        }, 20),
      );
    }
    const most = await mostPerTurn(
      () => ended,
      () => until(() => ended === few - 1, 'all have ended', LIMIT),
    );
    expect(most).toBeLessThan(few / 4);
  });

  test(
    'calls that wait for one promise',
    async () => {
      let settled = 0;
      const promise = new Promise<number>((resolve) => setImmediate(resolve, 7));
      for (let n = 0; n < count; n++)
        void settleInTurns(promise).then((value) => (settled += value));
      const failing = Promise.reject(new Error('lost'));
      const failures = settleInTurns(failing);
      await expect(failures).rejects.toThrow('lost');
      const most = await mostPerTurn(
        () => settled / 7,
        () => until(() => settled === 7 * count, 'all have settled', LIMIT),
      );
      expect(most).toBeLessThan(count / 4);
      expect(await settleInTurns(promise)).toBe(7);
    },
    2 * LIMIT,
  );

  test.each([
    ['before the first keys are loaded', false],
    ['while the keys are loaded again', true],
  ])(
    'tokens of jwt() that come %s',
    async (_, hasKeys) => {
      const few = 2_000;
      const { publicKey } = await generateKeyPair('ES256');
      const keys = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'known' }] };
      const loads: (() => void)[] = [];
      const verify = jwt({
        keys: () => new Promise((resolve) => loads.push(() => resolve(keys))),
        issuer: 'https://issuer.example',
        audience: 'vault',
        cooldown: 0,
      });
      const token = [{ alg: 'ES256', kid: 'unknown' }, { sub: 'ann' }, 'a signature']
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
      const credentials = { metadata: {}, certificate: undefined, request: undefined, peer: '' };
      let failed = 0;
      const send = (count: number) => {
        for (let n = 0; n < count; n++)
          Promise.resolve(verify({ token, ...credentials })).catch(() => {
            block(0.1);
            failed++;
          });
      };
      const load = async (isDone: () => boolean): Promise<void> => {
        await until(() => loads.length > 0, 'the keys are being loaded', LIMIT);
        await turns(5);
        loads.shift()?.();
        await until(isDone, 'all have failed', LIMIT);
      };
      if (hasKeys) {
        send(1);
        await load(() => failed === 1);
        failed = 0;
      }
      send(few);
      const most = await mostPerTurn(
        () => failed,
        () => load(() => failed === few),
      );
      expect(most).toBeLessThan(few / 4);
    },
    2 * LIMIT,
  );

  test('a function that follows a signal and is removed before its turn is not called', async () => {
    const abort = new AbortController();
    let called = 0;
    const releases = Array.from({ length: count }, () =>
      followSignal(abort.signal, () => called++),
    );
    abort.abort();
    const before = called;
    for (const release of releases) release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(before).toBeLessThan(count);
    expect(called).toBe(before);
  });
});
