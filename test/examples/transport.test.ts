/** The examples of the transport layer: what they print and send. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { connect, lines } from '../../src/transport/index.js';
import { runExample } from '../fixtures/programs.js';
import { Inbox } from '../fixtures/waiting.js';

const certificates = fileURLToPath(new URL('../fixtures/tls/', import.meta.url));

/** A client of lines; `received` has the lines of the server. */
async function connectLines(address: string) {
  const received = new Inbox<string>('a line');
  const client = await connect(
    address,
    { codec: lines(), listener: { onMessage: (_, line) => received.push(line) } },
    { reconnect: false },
  );
  const session = await client.session();
  return {
    received,
    session,
    send: (line: string) => session.write(line),
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      await client.close();
    },
  };
}

it.each(['tcp', 'udp', 'ws'])(
  'echo: runs server and client in two processes over %s',
  async (scheme) => {
    await using server = runExample('echo', '--server', '--address', `${scheme}://127.0.0.1:0`);
    const address = await server.line(/listening at (.*)/);
    await using client = runExample('echo', '--client', '--address', address, '--count', '2');
    expect(await client.ended).toBe(0);
    expect(client.lines.all).toEqual(['1: Hello, getty!', '2: Hello, getty!', '3: pong']);
  },
);

it.each(['tls', 'wss'])('echo: runs server and client in one process over %s', async (scheme) => {
  const tls = [
    '--cert',
    `${certificates}server.pem`,
    '--key',
    `${certificates}server.key.pem`,
    '--ca',
    `${certificates}authority.pem`,
  ];
  await using both = runExample('echo', '--address', `${scheme}://127.0.0.1:0`, ...tls);
  expect(await both.ended).toBe(0);
  expect(both.lines.all.slice(-4)).toEqual([
    '1: Hello, getty!',
    '2: Hello, getty!',
    '3: Hello, getty!',
    '4: pong',
  ]);
});

it('chat: sends each line to all other members of the room', async () => {
  await using program = runExample('chat', '--address', 'tcp://127.0.0.1:0');
  const address = await program.line(/chat at (.*)/);
  await using ann = await connectLines(address);
  expect(await ann.received.next()).toBe('Who are you?');
  ann.send('Ann');
  expect(await ann.received.next()).toBe('Welcome, Ann. Here are: Ann');
  {
    await using bob = await connectLines(address);
    await bob.received.next();
    bob.send('Ann');
    expect(await bob.received.next()).toBe('Another name, please.');
    bob.send('Bob');
    expect(await bob.received.next()).toBe('Welcome, Bob. Here are: Ann, Bob');
    expect(await ann.received.next()).toBe('Bob came in');
    ann.send('hello');
    expect(await bob.received.next()).toBe('Ann: hello');
    bob.send(`/join ${'x'.repeat(41)}`);
    expect(await bob.received.next()).toBe('Another room, please.');
    bob.send('/join garden');
    expect(await bob.received.next()).toBe('In garden are: Bob');
    expect(await ann.received.next()).toBe('Bob left');
    ann.send('nobody hears this');
    bob.send('/join lobby');
    expect(await bob.received.next()).toBe('In lobby are: Ann, Bob');
    expect(await ann.received.next()).toBe('Bob came in');
  }
  expect(await ann.received.next()).toBe('Bob left');
});

it('line-proxy: forwards lines both ways, and closes one side when the other ends', async () => {
  await using chat = runExample('chat', '--address', 'tcp://127.0.0.1:0');
  const behind = await chat.line(/chat at (.*)/);
  await using proxy = runExample('line-proxy', '--listen', 'tcp://127.0.0.1:0', '--to', behind);
  const address = await proxy.line(/proxy at (\S+) to/);
  await using ann = await connectLines(address);
  expect(await ann.received.next()).toBe('Who are you?');
  ann.send('Ann');
  expect(await ann.received.next()).toBe('Welcome, Ann. Here are: Ann');
  expect(await proxy.line(/-> (Ann)/)).toBe('Ann');
  chat.child.kill('SIGINT');
  await chat.ended;
  // The proxy cannot connect now: it refuses a new caller and logs the reason.
  await using late = await connectLines(address);
  expect(await proxy.line(/cannot connect to (\S+):/)).toBe(behind);
  await late.session.close();
});

it('starttls: encrypts a session, and refuses injected commands', async () => {
  const tls = ['--cert', `${certificates}server.pem`, '--key', `${certificates}server.key.pem`];
  const ca = ['--ca', `${certificates}authority.pem`];
  const address = ['--address', 'tcp://127.0.0.1:0'];
  await using server = runExample('starttls', '--server', ...tls, ...address);
  const at = await server.line(/notes at (.*)/);
  await using client = runExample('starttls', '--client', '--address', at, ...ca);
  expect(await client.ended).toBe(0);
  expect(client.lines.all).toEqual([
    '220 notes',
    '220 ready',
    'encrypted: server',
    '250 1',
    '250 2',
    '250 milk, bread',
  ]);
  await using plain = await connectLines(at);
  expect(await plain.received.next()).toBe('220 notes');
  plain.send('ADD milk');
  expect(await plain.received.next()).toBe('530 first STARTTLS');
  plain.send('STARTTLS');
  plain.send('ADD injected');
  expect(await plain.received.next()).toBe('220 ready');
  await server.line(/sent 13 bytes in plain text after the message that begins TLS/);
  await plain.session.close();
});

it('workers: answers from worker threads, in any order', async () => {
  await using program = runExample('workers', '--address', 'tcp://127.0.0.1:0', '--threads', '2');
  const address = await program.line(/asks for primes at (.*)/);
  await using client = await connectLines(address);
  for (const number of ['7', '91', '2147483647', '1', '2']) client.send(number);
  const answers = await client.received.take(5);
  expect(answers.toSorted()).toEqual([
    '1: not a number to ask for',
    '2147483647: prime',
    '2: prime',
    '7: prime',
    '91: divided by 7',
  ]);
});
