/** Codecs that call their own session while they write a message. */
import { describe, expect, test } from 'vitest';
import {
  type Codec,
  connect,
  type EventListener,
  type GettyError,
  lines,
  type Session,
  serve,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { thrown } from '../fixtures/transports.js';
import { until } from '../fixtures/waiting.js';

noLeaks();

let lastName = 0;
const newAddress = (): string => `memory://nested-${++lastName}`;

/** A server that records the lines that arrive, and a session with it whose codec is `codec`. */
async function pair<Out>(
  codec: Codec<unknown, Out>,
  scheme: 'memory' | 'tcp' | 'ws' = 'memory',
  listener: Partial<EventListener<string>> = {},
) {
  const arrived: string[] = [];
  const errors: GettyError[] = [];
  const onMessage = (_: Session<string>, line: string): void => void arrived.push(line);
  const onError = (_: Session<string>, error: GettyError): void => void errors.push(error);
  const address = scheme === 'memory' ? newAddress() : `${scheme}://127.0.0.1:0`;
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
  'over %s a codec that, during write(),',
  (scheme) => {
    test.each<[string, (session: Session<unknown, string>) => void]>([
      ['writes a message', (session) => session.write('inner')],
      ['writes bytes', (session) => session.writeBytes(Buffer.from('inner\n'))],
      ['writes arrays of bytes', (session) => session.writeBytesArray([Buffer.from('inner\n')])],
    ])('%s receives ENCODE_FAILED, and messages are not mixed', async (_, act) => {
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
      'calls %s() of its session sends nothing of the message',
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
        await until(() => closed, 'the session has ended');
        // close() sends the messages that were queued before; destroy() drops them.
        expect(arrived).toEqual(method === 'close' ? ['partlyone'] : []);
        await close();
        // The buffer of the failed write must not be in the pool twice.
        const other = await pair(lines() as Codec<unknown, string>, scheme);
        other.session.write('x'.repeat(100));
        await until(() => other.arrived.length === 1, 'a line of another session arrived');
        expect(other.arrived).toEqual(['x'.repeat(100)]);
        await other.close();
      },
    );
  },
);
