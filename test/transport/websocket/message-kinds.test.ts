/** The kind of a message: text or binary. */
import { expect, it } from 'vitest';
import { type Codec, connect, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { ANY, wsClient, wsServer } from '../../fixtures/websocket.js';
import { echoServer, hex, type Message, messages } from './echo-server.js';

noLeaks();

const SENT = ['one', Buffer.from('two'), 'three'];
const ECHOED = ['text one', 'binary 74776f', 'text three'];

it.each([false, true])(
  'a codec reads the kind of each message and chooses its own, when websocket.text is %s',
  async (text) => {
    const events = new Recorder<Message>('the server', {
      onMessage: (from, message) => from.write(message),
    });
    await using server = await serve(
      ANY,
      { codec: messages, listener: events },
      { websocket: { text } },
    );
    using peer = wsClient(server.address);
    await peer.opened;
    for (const message of SENT) peer.socket.send(message);
    expect(await peer.messages.take(3)).toEqual(ECHOED);
    expect(events.messages.all.map((message) => message.text)).toEqual([true, false, true]);
  },
);

it('messages that are held while the session is paused keep their kind', async () => {
  await using server = await echoServer();
  using peer = wsClient(server.address);
  await peer.opened;
  const session = await server.events.opened.next();
  session.pause();
  for (const message of SENT) peer.socket.send(message);
  peer.socket.ping('all sent');
  await peer.pongs.next();
  session.resume();
  expect(await peer.messages.take(3)).toEqual(ECHOED);
});

it('a message without a kind of its codec has the kind of websocket.text', async () => {
  let asText: boolean | undefined = true;
  const codec: Codec<string> = {
    read: (input) => input.takeText(input.length),
    write(output, message) {
      if (asText !== undefined) output.asText = asText;
      output.text(message);
    },
  };
  await using server = await wsServer();
  await using client = await connect(
    server.address,
    { codec, listener: new Recorder<string>('the client') },
    { reconnect: false },
  );
  const session = await client.session();
  session.write('one');
  asText = undefined;
  session.write('two');
  session.writeBytes(Buffer.from('three'));
  const peer = await server.peers.next();
  expect(await peer.messages.take(3)).toEqual([
    'text one',
    'binary 74776f',
    `binary ${Buffer.from('three').toString('hex')}`,
  ]);
});

it('a text message of a codec that is not UTF-8 is rejected with ENCODE_FAILED', async () => {
  await using server = await echoServer();
  using peer = wsClient(server.address);
  await peer.opened;
  const session = await server.events.opened.next();
  expect(() => session.write({ bytes: hex('ff'), text: true })).toThrow(
    expect.objectContaining({ code: 'ENCODE_FAILED' }),
  );
  session.write({ bytes: hex('ff'), text: false });
  expect(await peer.messages.next()).toBe('binary ff');
});

it('messages of other transports have no kind', async () => {
  const events = new Recorder<Message>('the server');
  await using server = await serve('memory://', { codec: messages, listener: events });
  await using client = await connect(server.address, {
    codec: messages,
    listener: new Recorder<Message>('the client'),
  });
  (await client.session()).write({ bytes: Buffer.from('a'), text: true });
  expect((await events.messages.next()).text).toBeUndefined();
});
