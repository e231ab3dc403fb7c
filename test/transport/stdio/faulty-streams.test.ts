/** Streams of a program that throw, have ended, or give no bytes. */
import { PassThrough, Readable, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { connect, lines, type StreamPair, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { makePipe } from '../../fixtures/pipes.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection } from '../../fixtures/transports.js';

noLeaks();

async function serveStreams(stdio: StreamPair) {
  const events = new Recorder<string>('the server');
  const server = await serve({ stdio }, { codec: lines(), listener: events });
  return { server, events, session: await events.opened.next() };
}

const fail = (): never => {
  throw new Error('thrown by the stream');
};

describe('an output', () => {
  it('whose write() throws ends its session, and the others of the tick are flushed', async () => {
    const { server, events, session } = await serveStreams({
      input: new PassThrough(),
      output: new Writable({ write: fail }),
    });
    const others = new Recorder<string>('another server');
    const other = await serve('tcp://127.0.0.1:0', { codec: lines(), listener: others });
    const client = await connect(other.address, { codec: lines(), listener: { onMessage() {} } });
    const honest = await client.session();
    session.write('lost');
    honest.write('one');
    const error = await events.errors.next();
    expect(error.code).toBe('CONNECTION_LOST');
    expect(error.message).toContain('thrown by the stream');
    await events.closed.next();
    honest.write('two');
    expect([await others.messages.next(), await others.messages.next()]).toEqual(['one', 'two']);
    await client.close();
    await server.close();
    await other.close();
  });

  it('whose write() throws before the tick ends does not throw in write() of the session', async () => {
    const { server, events, session } = await serveStreams({
      input: new PassThrough(),
      output: new Writable({ write: fail }),
    });
    session.write('x'.repeat(100_000));
    expect((await events.errors.next()).code).toBe('CONNECTION_LOST');
    await server.close();
  });

  it.each(['end', 'destroy', 'pause', 'resume'] as const)(
    'or an input whose %s() throws ends the session with CONNECTION_LOST at most',
    async (method) => {
      const input = new PassThrough();
      const output = new PassThrough();
      const { server, events, session } = await serveStreams({ input, output });
      const stream = method === 'end' || method === 'destroy' ? output : input;
      Object.defineProperty(stream, method, { value: fail });
      if (method === 'pause' || method === 'resume') session.pause();
      if (method === 'resume') session.resume();
      if (method === 'destroy') session.destroy();
      await server.close();
      const log = method === 'destroy' ? ['open', 'close'] : null;
      expect(events.log).toEqual(log ?? ['open', 'error CONNECTION_LOST', 'close']);
      events.errors.dismiss();
    },
  );

  it.each(['end', 'destroy'] as const)(
    'that the program ends with %s() ends the session at the next write',
    async (method) => {
      const { output } = makePipe();
      const { server, events, session } = await serveStreams({ input: new PassThrough(), output });
      output[method]();
      const sent = session.send('lost');
      expect(await rejection(sent)).toMatchObject({ code: 'SESSION_CLOSED' });
      expect((await events.errors.next()).message).toContain('the program has ended its output');
      await server.close();
    },
  );

  it('that has ended before is refused', async () => {
    const input = new PassThrough();
    const output = new PassThrough();
    output.end();
    const setup = { codec: lines(), listener: { onMessage() {} } };
    const stdio = { input, output };
    expect(await rejection(serve({ stdio }, setup))).toMatchObject({ code: 'LISTEN_FAILED' });
    expect(await rejection(connect({ stdio }, setup))).toMatchObject({ code: 'CONNECT_FAILED' });
  });
});

describe('streams without bytes', () => {
  const encoded = new PassThrough();
  encoded.setEncoding('utf8');
  it.each([
    ['an input with an encoding', encoded, new PassThrough()],
    ['an input of objects', new Readable({ objectMode: true }), new PassThrough()],
    ['an output of objects', new PassThrough(), new Writable({ objectMode: true })],
  ])('%s is BAD_OPTION', async (_, input, output) => {
    const setup = { codec: lines(), listener: { onMessage() {} } };
    const stdio = { input, output };
    expect(await rejection(serve({ stdio }, setup))).toMatchObject({ code: 'BAD_OPTION' });
    expect(await rejection(connect({ stdio }, setup))).toMatchObject({ code: 'BAD_OPTION' });
  });

  it('an input that gets an encoding later is CONNECTION_LOST', async () => {
    const input = new PassThrough();
    const { server, events } = await serveStreams({ input, output: new PassThrough() });
    input.setEncoding('utf8');
    input.write('text\n');
    const error = await events.errors.next();
    expect(error.code).toBe('CONNECTION_LOST');
    expect(error.message).toContain('the input does not give bytes');
    await server.close();
  });
});
