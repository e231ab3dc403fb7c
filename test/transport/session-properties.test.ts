/** Properties of sessions and clients that a program reads and sets. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  connect,
  GettyError,
  lines,
  type Session,
  type SessionSetup,
  serve,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { thrown } from '../fixtures/transports.js';
import { elapse, turns, until } from '../fixtures/waiting.js';

noLeaks();

const SETUP: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };
let lastName = 0;
const newAddress = (): string => `memory://session-${++lastName}`;

/** A session of a client, the session of its server, and the errors of the server's session. */
async function pair(address = newAddress()) {
  const errors: GettyError[] = [];
  const server = await serve<string>(address, {
    codec: lines(),
    listener: { onMessage() {}, onError: (_, error) => void errors.push(error) },
  });
  const client = await connect<string>(server.address, SETUP, { reconnect: false });
  await until(() => server.sessions.size === 1, 'the server has the session');
  const [serverSession] = server.sessions as ReadonlySet<Session<string>>;
  const close = async (): Promise<void> => {
    await client.close();
    await server.close();
  };
  return {
    session: client.current as Session<string>,
    serverSession: serverSession as Session<string>,
    errors,
    close,
  };
}

test.each<[string, unknown, string]>([
  ['an Error', new Error('the reason'), 'SESSION_DESTROYED'],
  ['text', 'the reason', 'SESSION_DESTROYED'],
  ['a GettyError', new GettyError('BAD_FRAME', 'the reason'), 'BAD_FRAME'],
])('destroy() with %s: onError receives a GettyError', async (_, given, code) => {
  const { session, serverSession, errors, close } = await pair();
  serverSession.destroy(given as Error);
  await until(() => session.closed, 'the session has ended');
  expect(errors).toMatchObject([{ code, message: expect.stringContaining('the reason') }]);
  expect(errors[0]).toBeInstanceOf(GettyError);
  await close();
});

test.each([
  ['undefined', undefined, []],
  ['null', null, []],
  ['0', 0, ['SESSION_DESTROYED']],
  ['an empty text', '', ['SESSION_DESTROYED']],
])('destroy() of a WebSocket with %s ends the session', async (_, given, codes) => {
  const { session, serverSession, errors, close } = await pair('ws://127.0.0.1:0');
  serverSession.destroy(given as never);
  await until(() => session.closed, 'the session has ended');
  expect(errors.map(({ code }) => code)).toEqual(codes);
  await close();
});

test('client.current returns the open sessions in turn, and undefined if there is none', async () => {
  const server = await serve<string>(newAddress(), SETUP);
  const client = await connect<string>(server.address, SETUP, {
    connections: 2,
    reconnect: false,
  });
  await until(() => client.sessions.size === 2, 'two sessions are open');
  await turns(2);
  const returned = new Set([client.current, client.current]);
  expect(returned).toEqual(client.sessions);
  for (const session of client.sessions) session.destroy();
  expect(client.current).toBeUndefined();
  await client.close();
  expect(client.current).toBeUndefined();
  await server.close();
});

describe('idleTimeout of an open session', () => {
  test('can be set, and then closes a silent session', async () => {
    const { session, serverSession, errors, close } = await pair();
    expect(serverSession.idleTimeout).toBe(0);
    serverSession.idleTimeout = 40;
    expect(serverSession.idleTimeout).toBe(40);
    await until(() => session.closed, 'the session has ended');
    expect(errors).toMatchObject([{ code: 'IDLE_TIMEOUT' }]);
    await close();
  });

  test('can be set to 0, which disables it', async () => {
    const { session, serverSession, close } = await pair();
    serverSession.idleTimeout = 20;
    serverSession.idleTimeout = 0;
    await elapse(60);
    expect(session.closed).toBe(false);
    await close();
  });

  test.each([-1, Number.NaN, 2 ** 31, '1'])('throws BAD_OPTION for %o', async (ms) => {
    const { session, close } = await pair();
    const set = (): void => {
      session.idleTimeout = ms as number;
    };
    expect(thrown(set)).toMatchObject({ code: 'BAD_OPTION' });
    await close();
  });
});

test('a thousand calls of send() with one signal add one event listener, and remove it', async () => {
  const warnings: string[] = [];
  const onWarning = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', onWarning);
  const { session, close } = await pair('tcp://127.0.0.1:0');
  const { signal } = new AbortController();
  const sends = Array.from({ length: 1_000 }, () => session.send('x', { signal }));
  expect(getEventListeners(signal, 'abort').length).toBeLessThanOrEqual(1);
  await Promise.all(sends);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  await turns(2);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
  await close();
});

test('attributes have the types that the program declares', async () => {
  const { session, close } = await pair();
  session.attributes.set('session-properties-test', 7);
  const declared: number | undefined = session.attributes.get('session-properties-test');
  // @ts-expect-error: the declared type is number.
  session.attributes.set('session-properties-test', 'seven');
  const other = Symbol('other');
  session.attributes.set(other, 'anything');
  const unknown: unknown = session.attributes.get(other);
  expect([declared, unknown]).toEqual([7, 'anything']);
  await close();
});

declare module '../../src/transport/index.js' {
  interface SessionAttributes {
    'session-properties-test': number;
  }
}
