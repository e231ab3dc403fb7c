/** What a codec, a listener and a client may do besides their own work. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  type Codec,
  connect,
  delimiter,
  type EventListener,
  GettyError,
  jsonLines,
  lines,
  mapCodec,
  raw,
  type Session,
  serve,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { thrown } from '../fixtures/transports.js';
import { elapse, turns, until } from '../fixtures/waiting.js';

noLeaks();

let lastName = 0;
const freeMemory = (): string => `memory://callbacks-${++lastName}`;

/** A server that keeps the lines that arrive, and a session with it whose codec is `codec`. */
async function pair<Out>(
  codec: Codec<unknown, Out>,
  scheme: 'memory' | 'tcp' | 'ws' = 'memory',
  listener: Partial<EventListener<string>> = {},
) {
  const arrived: string[] = [];
  const errors: GettyError[] = [];
  const onMessage = (_: Session<string>, line: string): void => void arrived.push(line);
  const onError = (_: Session<string>, error: GettyError): void => void errors.push(error);
  const address = scheme === 'memory' ? freeMemory() : `${scheme}://127.0.0.1:0`;
  const server = await serve<string>(address, {
    codec: lines(),
    listener: { onMessage, onError, ...listener },
  });
  const client = await connect<unknown, Out>(
    server.address,
    { codec, listener: { onMessage() {} } },
    { reconnect: false },
  );
  const session = client.current as Session<unknown, Out>;
  const close = async (): Promise<void> => {
    await client.close();
    await server.close();
  };
  return { server, client, session, arrived, errors, close };
}

describe.each(['memory', 'tcp', 'ws'] as const)(
  'a codec that, while it writes over %s,',
  (scheme) => {
    test.each<[string, (session: Session<unknown, string>) => void]>([
      ['writes a message', (session) => session.write('inner')],
      ['writes bytes', (session) => session.writeBytes(Buffer.from('inner\n'))],
      ['writes arrays of bytes', (session) => session.writeBytesArray([Buffer.from('inner\n')])],
    ])('%s gets ENCODE_FAILED, and nothing is mixed', async (_, act) => {
      const inner = lines();
      let isNested = false;
      const codec: Codec<string> = {
        read: inner.read,
        write(output, line, session) {
          output.text('outer ');
          if (isNested) act(session);
          inner.write(output, line, session);
        },
      };
      const { session, arrived, errors, close } = await pair(
        codec as Codec<unknown, string>,
        scheme,
      );
      session.write('one');
      isNested = true;
      expect(thrown(() => session.write('two'))).toMatchObject({ code: 'ENCODE_FAILED' });
      isNested = false;
      session.write('three');
      await until(() => arrived.length === 2, 'two lines arrived');
      expect(arrived).toEqual(['outer one', 'outer three']);
      expect(errors).toEqual([]);
      await close();
    });

    test.each(['close', 'destroy'] as const)(
      'calls %s of its session sends nothing of its message',
      async (method) => {
        const inner = lines();
        const codec: Codec<string> = {
          read: inner.read,
          write(output, line, session) {
            output.text('partly');
            if (line === 'two') void session[method]();
            inner.write(output, line, session);
          },
        };
        let closed = false;
        const { session, arrived, close } = await pair(codec as Codec<unknown, string>, scheme, {
          onClose: () => (closed = true),
        });
        session.write('one');
        expect(thrown(() => session.write('two'))).toMatchObject({ code: 'SESSION_CLOSED' });
        await until(() => closed, 'the session is over');
        // What was queued before leaves with close(), and is lost with destroy().
        expect(arrived).toEqual(method === 'close' ? ['partlyone'] : []);
        await close();
        // A buffer that was used meanwhile must not be given to others twice.
        const other = await pair(lines() as Codec<unknown, string>, scheme);
        other.session.write('x'.repeat(100));
        await until(() => other.arrived.length === 1, 'a line of another session arrived');
        expect(other.arrived).toEqual(['x'.repeat(100)]);
        await other.close();
      },
    );
  },
);

test('an empty line of jsonLines ends nothing on a WebSocket', async () => {
  const values: unknown[] = [];
  const errors: string[] = [];
  const server = await serve<unknown>('ws://127.0.0.1:0', {
    codec: jsonLines(),
    listener: {
      onMessage: (_, value) => values.push(value),
      onError: (_, error) => errors.push(error.code),
    },
  });
  const client = await connect(server.address, { codec: raw(), listener: { onMessage() {} } });
  for (const text of ['\n', ' \r\n', '{"a":1}\n\n', '{"a":2}\n'])
    client.current?.write(Buffer.from(text));
  await until(() => values.length === 2, 'two values arrived');
  client.current?.write(Buffer.from('1\n2\n'));
  await until(() => errors.length > 0, 'two values in one message are refused');
  expect(values).toEqual([{ a: 1 }, { a: 2 }]);
  expect(errors).toEqual(['BAD_FRAME']);
  await client.close();
  await server.close();
});

test.each<[string, unknown, string]>([
  ['an Error', new Error('mine'), 'SESSION_DESTROYED'],
  ['text', 'mine', 'SESSION_DESTROYED'],
  ['a GettyError', new GettyError('BAD_FRAME', 'mine'), 'BAD_FRAME'],
])('destroy() with %s: onError gets a GettyError', async (_, given, code) => {
  const { session, server, errors, close } = await pair(lines() as Codec<unknown, string>);
  await until(() => server.sessions.size === 1, 'the server has the session');
  for (const peer of server.sessions) peer.destroy(given as Error);
  await until(() => session.closed, 'the session is over');
  expect(errors).toMatchObject([{ code, message: expect.stringContaining('mine') }]);
  expect(errors[0]).toBeInstanceOf(GettyError);
  await close();
});

test('client.current is a live session, in turn, and undefined while there is none', async () => {
  const server = await serve<string>(freeMemory(), {
    codec: lines(),
    listener: { onMessage() {} },
  });
  const client = await connect<string>(
    server.address,
    { codec: lines(), listener: { onMessage() {} } },
    { connections: 2, reconnect: false },
  );
  await until(() => client.sessions.size === 2, 'two sessions are open');
  await turns(2);
  const two = new Set([client.current, client.current]);
  expect(two).toEqual(client.sessions);
  for (const session of client.sessions) session.destroy();
  expect(client.current).toBeUndefined();
  await client.close();
  expect(client.current).toBeUndefined();
  await server.close();
});

describe('idleTimeout of an open session', () => {
  test('can be set, and ends a silent session', async () => {
    const { server, errors, session, close } = await pair(lines() as Codec<unknown, string>);
    await until(() => server.sessions.size === 1, 'the server has the session');
    const [peer] = server.sessions;
    expect(peer?.idleTimeout).toBe(0);
    (peer as Session<string>).idleTimeout = 40;
    expect(peer?.idleTimeout).toBe(40);
    await until(() => session.closed, 'the session is over');
    expect(errors).toMatchObject([{ code: 'IDLE_TIMEOUT' }]);
    await close();
  });

  test('can be taken away', async () => {
    const { server, session, close } = await pair(lines() as Codec<unknown, string>);
    await until(() => server.sessions.size === 1, 'the server has the session');
    const [peer] = server.sessions;
    (peer as Session<string>).idleTimeout = 20;
    (peer as Session<string>).idleTimeout = 0;
    await elapse(60);
    expect(session.closed).toBe(false);
    await close();
  });

  test.each([-1, Number.NaN, 2 ** 31, '1'])('refuses %o', async (ms) => {
    const { session, close } = await pair(lines() as Codec<unknown, string>);
    const set = (): void => {
      session.idleTimeout = ms as number;
    };
    expect(thrown(set)).toMatchObject({ code: 'BAD_OPTION' });
    await close();
  });
});

test('a thousand sends with one signal leave one listener, and none at their end', async () => {
  const warnings: string[] = [];
  const onWarning = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', onWarning);
  const { session, close } = await pair(lines() as Codec<unknown, string>, 'tcp');
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

test('mapCodec makes messages of messages', async () => {
  const codec = mapCodec(delimiter(';'), Number, (value: number) => Buffer.from(String(value)));
  const values: number[] = [];
  const address = freeMemory();
  const server = await serve<number>(address, {
    codec,
    listener: { onMessage: (_, value) => values.push(value) },
  });
  const client = await connect<number>(address, {
    codec,
    listener: { onOpen: (session) => session.write(1), onMessage() {} },
  });
  client.current?.write(2.5);
  await until(() => values.length === 2, 'two numbers arrived');
  expect(values).toEqual([1, 2.5]);
  for (const [name, wrong] of [
    ['codec', () => mapCodec({} as never, Number, String as never)],
    ['decode', () => mapCodec(lines(), 'x' as never, String)],
    ['encode', () => mapCodec(lines(), Number, undefined as never)],
  ] as const) {
    expect(thrown(wrong)).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(name),
    });
  }
  await client.close();
  await server.close();
});

test('values of attributes have the types that the program declares', async () => {
  const { session, close } = await pair(lines() as Codec<unknown, string>);
  session.attributes.set('callbacks-test', 7);
  const declared: number | undefined = session.attributes.get('callbacks-test');
  // @ts-expect-error: it is a number.
  session.attributes.set('callbacks-test', 'seven');
  const other = Symbol('other');
  session.attributes.set(other, 'anything');
  const unknown: unknown = session.attributes.get(other);
  expect([declared, unknown]).toEqual([7, 'anything']);
  await close();
});

declare module '../../src/transport/index.js' {
  interface SessionAttributes {
    'callbacks-test': number;
  }
}
