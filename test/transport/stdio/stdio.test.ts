/** What only sessions over the streams of a process do, with processes that the test imitates. */
import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { connect, lines, serve } from '../../../src/transport/index.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { makePipe } from '../../fixtures/pipes.js';
import { Recorder } from '../../fixtures/recorder.js';
import { rejection } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';

/** A child process, and the other ends of its pipes. */
function imitateChild() {
  const [stdin, stdout] = [makePipe(), makePipe()];
  const child = Object.assign(new EventEmitter(), {
    pid: 4242,
    exitCode: null as number | null,
    signalCode: null as string | null,
    stdin: stdin.output,
    stdout: stdout.input,
  });
  return {
    child,
    input: stdin.input,
    output: stdout.output,
    exit(code: number) {
      child.exitCode = code;
      child.emit('exit', code, null);
    },
  };
}

async function connectTo(child: ReturnType<typeof imitateChild>['child']) {
  const events = new Recorder<string>('the parent', { onEnd() {} });
  const client = await connect({ stdio: child }, { codec: lines(), listener: events });
  return { client, events, session: await client.session() };
}

const setup = () => ({ codec: lines(), listener: new Recorder<string>('a side') });

describe('the end of a child', () => {
  fakeTime();

  it('is the end of the session when it exits with 0 after its output has ended', async () => {
    const fake = imitateChild();
    const { client, events } = await connectTo(fake.child);
    fake.output.end('last\n');
    await turns(5);
    fake.exit(0);
    await turns(5);
    expect(events.log).toEqual(['open', 'message', 'end', 'close']);
    await client.close();
  });

  it('is the loss of the session when it exits with an error after its output has ended', async () => {
    const fake = imitateChild();
    const { client, events } = await connectTo(fake.child);
    fake.output.end('last\n');
    await turns(5);
    expect(events.log).toEqual(['open', 'message']);
    fake.exit(1);
    await turns(5);
    expect(events.log).toEqual(['open', 'message', 'error CONNECTION_LOST', 'close']);
    expect((await events.errors.next()).message).toContain('the child process exited with code 1');
    await client.close();
  });

  it('is the end of the session 1 s after the end of its output, if it runs on', async () => {
    const fake = imitateChild();
    const { client, events } = await connectTo(fake.child);
    fake.output.end();
    await turns(5);
    expect(events.log).toEqual(['open']);
    await pass(1_000);
    await turns(5);
    expect(events.log).toEqual(['open', 'end', 'close']);
    await client.close();
  });

  it('is the loss of the session 1 s after its exit, if its output stays open', async () => {
    const fake = imitateChild();
    const { client, events } = await connectTo(fake.child);
    fake.exit(0);
    await pass(999);
    expect(events.log).toEqual(['open']);
    await pass(1);
    await turns(5);
    expect(events.log).toEqual(['open', 'error CONNECTION_LOST', 'close']);
    events.errors.dismiss();
    await client.close();
  });

  it('loses no bytes of a paused session', async () => {
    const fake = imitateChild();
    const { client, events, session } = await connectTo(fake.child);
    session.pause();
    fake.output.write('kept\n');
    await turns(5);
    fake.exit(0);
    await pass(5_000);
    expect(events.log).toEqual(['open']);
    fake.output.end();
    session.resume();
    await turns(10);
    expect(events.log).toEqual(['open', 'message', 'end', 'close']);
    await client.close();
  });

  it('is no failure after this side has ended', async () => {
    const fake = imitateChild();
    const { client, events } = await connectTo(fake.child);
    const closing = client.close();
    fake.input.resume();
    await turns(5);
    fake.output.end();
    fake.exit(1);
    await turns(5);
    await closing;
    expect(events.log).toEqual(['open', 'end', 'close']);
  });
});

describe('one process', () => {
  noLeaks();

  it('has one session', async () => {
    const fake = imitateChild();
    const { client } = await connectTo(fake.child);
    expect(await rejection(connect({ stdio: fake.child }, setup()))).toMatchObject({
      code: 'CONNECT_FAILED',
      message: 'cannot connect to stdio://4242: it has had a session, and it can have one only',
    });
    expect(await rejection(serve({ stdio: fake.child }, setup()))).toMatchObject({
      code: 'LISTEN_FAILED',
    });
    client.destroy();
    await client.close();
  });

  it('is not connected to again', async () => {
    const fake = imitateChild();
    const states: string[] = [];
    const client = await connect({ stdio: fake.child }, setup(), {
      reconnect: { initialDelay: 1 },
      onState: (state) => void states.push(state),
    });
    (await client.session()).destroy();
    await until(() => states.length === 2, 'the loss');
    expect(await rejection(client.session())).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(states).toEqual(['ready', 'down']);
    await client.close();
  });

  it('loses one session when the handling of its bytes fails', async () => {
    const fake = imitateChild();
    const { client, events, session } = await connectTo(fake.child);
    Object.assign(session, {
      onData() {
        throw new Error('a fault');
      },
    });
    fake.output.write('x\n');
    expect(await events.errors.next()).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('a fault'),
    });
    await events.closed.next();
    await client.close();
  });

  it('can be the client, and its parent the server', async () => {
    const fake = imitateChild();
    const events = new Recorder<string>('the parent');
    await using server = await serve({ stdio: fake.child }, { codec: lines(), listener: events });
    await using client = await connect(
      { stdio: { input: fake.input, output: fake.output }, name: 'child' },
      setup(),
    );
    (await client.session()).write('hello');
    expect(await events.messages.next()).toBe('hello');
    expect(server.address).toBe(`stdio://${process.pid}`);
    const [session] = [...server.sessions];
    expect(session?.remoteAddress).toBe('stdio://4242');
  });
});

const { child } = imitateChild();
const { input, output } = makePipe();

it.each([
  ['stdio: got null, expected a ChildProcess', { stdio: null }, {}],
  ['stdio: got an object, expected a ChildProcess', { stdio: {} }, {}],
  ['stdio.output: got undefined, expected a Writable', { stdio: { input } }, {}],
  ['stdio.input: got 1, expected a Readable', { stdio: { input: 1, output } }, {}],
  ['name: got "a b", expected at most 64 letters', { stdio: child, name: 'a b' }, {}],
  ['stdio is not an option of the address of connect()', { stdio: child, port: 1 }, {}],
  ['connections: got 2, expected 1 at { stdio }', { stdio: child }, { connections: 2 }],
])('rejects connect() with BAD_OPTION: %s', async (message, address, options) => {
  expect(await rejection(connect(address as never, setup(), options))).toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining(message),
  });
});
