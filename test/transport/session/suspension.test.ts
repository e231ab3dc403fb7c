/**
 * After a suspension of the process, such as on a suspended machine, timeouts count from its end:
 * the peers had no chance to send.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connect, lines, raw, type SessionOptions, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { elapse, turns } from '../../fixtures/waiting.js';

noLeaks();
let suspended = 0;
beforeEach(() => {
  suspended = 0;
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + suspended);
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Advances performance.now() by `ms`, as a suspension of the process does. */
function suspendFor(ms: number): void {
  suspended += ms;
}

async function pair(options: SessionOptions) {
  const far = new Recorder<string>('the server');
  const server = await serve('tcp://127.0.0.1:0', { codec: lines(), listener: far, ...options });
  const client = await connect(
    server.address,
    { codec: raw(), listener: new Recorder<Buffer>('the client') },
    { reconnect: false },
  );
  await far.opened.next();
  return {
    far,
    session: await client.session(),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close()]);
    },
  };
}

test('idleTimeout counts from the end of a suspension', async () => {
  await using p = await pair({ idleTimeout: 1_000 });
  suspendFor(60_000);
  // The session checks its timeout several times in this time.
  await elapse(600);
  expect(p.far.errors.all).toEqual([]);
  p.session.write(Buffer.from('still here\n'));
  expect(await p.far.messages.next()).toBe('still here');
  // A peer that stays silent exceeds the timeout.
  expect(await p.far.errors.next()).toMatchObject({ code: 'IDLE_TIMEOUT' });
});

test('messageTimeout counts from the end of a suspension', async () => {
  await using p = await pair({ messageTimeout: 1_000 });
  p.session.write(Buffer.from('half a '));
  await turns(50);
  suspendFor(60_000);
  await elapse(600);
  expect(p.far.errors.all).toEqual([]);
  p.session.write(Buffer.from('line\nand half '));
  expect(await p.far.messages.next()).toBe('half a line');
  expect(await p.far.errors.next()).toMatchObject({ code: 'MESSAGE_TIMEOUT' });
});
