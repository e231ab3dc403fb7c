/** Sessions over UDP, where they differ from sessions over other transports. */
import { Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Codec, raw, type Session, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { portOf } from '../../fixtures/ports.js';
import { Recorder } from '../../fixtures/recorder.js';
import {
  ANY_UDP,
  bytes,
  connectRaw,
  ECHO,
  HAS_IPV6,
  LARGEST_DATAGRAM,
  PlainPeer,
  QUIET_TURNS,
  serveRaw,
} from '../../fixtures/udp-endpoints.js';
import { block, turns, until } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

describe('datagrams that arrive together', () => {
  it('are handled in several turns of the event loop if the handlers take long', async () => {
    const handledIn: number[] = [];
    let turn = 0;
    let isOver = false;
    const countTurns = (): void => {
      turn++;
      if (!isOver) setImmediate(countTurns);
    };
    countTurns();
    const onMessage = (): void => {
      handledIn.push(turn);
      block(12);
    };
    await using server = await serve(ANY_UDP, { codec: raw(), listener: { onMessage } });
    using peer = new PlainPeer(server.address);
    await peer.send('first');
    await until(() => handledIn.length === 1, 'the server has a session');
    const large = Buffer.alloc(4_200);
    const sent = Array.from({ length: 12 }, () => peer.send(large));
    block(20);
    await Promise.all(sent);
    await until(() => handledIn.length === 13, 'all datagrams are handled');
    isOver = true;
    // The time of a turn is counted from its second message.
    expect(new Set(handledIn.slice(1)).size).toBeGreaterThanOrEqual(6);
  });
});

describe('a session', () => {
  it('is created by the first datagram of a peer, one for each peer', async () => {
    await using server = await serveRaw(ECHO);
    using one = new PlainPeer(server.address);
    using other = new PlainPeer(server.address);
    expect([await one.request('a'), await other.request('b'), await one.request('c')]).toEqual([
      'a',
      'b',
      'c',
    ]);
    expect([...server.endpoint.sessions].map((session) => session.remoteAddress)).toEqual([
      one.address,
      other.address,
    ]);
    expect([...server.endpoint.sessions].map((session) => session.stats.messagesRead)).toEqual([
      2, 1,
    ]);
  });

  it('is created by connect-ping too, which is not a message', async () => {
    await using server = await serveRaw();
    using one = new PlainPeer(server.address);
    await one.send('connect-ping');
    const session = await server.events.opened.next();
    await one.send('connect-ping');
    await one.send('connect-ping!');
    expect(String(await server.events.messages.next())).toBe('connect-ping!');
    expect(server.events.messages.all.length).toBe(1);
    expect(session.stats.messagesRead).toBe(1);
    expect(one.received.all).toEqual([]);
  });

  it('of a client begins with connect-ping, unless connectPing is false', async () => {
    using server = new PlainPeer(0);
    await server.bind();
    await using client = await connectRaw(server.address);
    expect(String(await server.received.next())).toBe('connect-ping');
    await using other = await connectRaw(server.address, { udp: { connectPing: false } });
    other.session.write(bytes('first'));
    expect(String(await server.received.next())).toBe('first');
    expect(client.session.remoteAddress).toBe(server.address);
  });

  it('sends each message as one datagram, from 0 to 65,507 bytes', async () => {
    await using server = await serveRaw(ECHO, { udp: { amplification: 2 } });
    await using client = await connectRaw(server.address);
    const sizes = [0, 1, 1_472, 1_473, LARGEST_DATAGRAM];
    for (const size of sizes) {
      client.session.write(Buffer.alloc(size, size));
      client.session.write(bytes('next'));
      const got = await client.events.messages.take(2);
      expect(got.map((datagram) => datagram.length).sort((a, b) => a - b)).toEqual(
        [4, size].sort((a, b) => a - b),
      );
      expect(got.some((datagram) => datagram.equals(Buffer.alloc(size, size)))).toBe(true);
    }
    expect(client.session.stats).toEqual(
      ([...server.endpoint.sessions][0] as Session<Buffer>).stats,
    );
    client.session.writeBytesArray([bytes('one '), bytes('datagram')]);
    expect(String(await client.events.messages.next())).toBe('one datagram');
  });

  it('receives all datagrams of a burst that fits in the buffers of the system', async () => {
    await using server = await serveRaw(ECHO);
    await using client = await connectRaw(server.address);
    const sent = Array.from({ length: 100 }, (_, i) => `${i}`);
    for (const text of sent) client.session.write(bytes(text));
    const got = (await client.events.messages.take(100)).map(String);
    expect(new Set(got)).toEqual(new Set(sent));
  });

  it('of a client ignores datagrams from other senders than its server', async () => {
    await using server = await serveRaw(ECHO);
    await using client = await connectRaw(server.address);
    using peer = new PlainPeer(client.session.localAddress);
    await peer.send('forged');
    client.session.write(bytes('hello'));
    expect(String(await client.events.messages.next())).toBe('hello');
    await turns(QUIET_TURNS);
    expect(client.events.messages.all.length).toBe(1);
  });

  it.each(['udp://:0', 'udp://localhost:0', ...(HAS_IPV6 ? ['udp://[::1]:0'] : [])])(
    'can be opened at %s',
    async (address) => {
      await using server = await serveRaw(ECHO, {}, address);
      expect(server.address).toBe(address.replace(/0$/, `${portOf(server.address)}`));
      await using client = await connectRaw(server.address);
      client.session.write(bytes('hello'));
      expect(String(await client.events.messages.next())).toBe('hello');
      expect([...server.endpoint.sessions][0]?.remoteAddress.slice(-6)).toBe(
        client.session.localAddress.slice(-6),
      );
    },
  );

  it('uses IPv4 too on a server for all interfaces', async () => {
    await using server = await serveRaw(ECHO, { udp: { amplification: 3 } }, 'udp://:0');
    using one = new PlainPeer(server.address);
    expect(await one.request('hello')).toBe('hello');
    expect(server.endpoint.writeTo(bytes('written'), one.address)).toBe(true);
    expect(String(await one.received.next())).toBe('written');
    expect(server.endpoint.sessions.size).toBe(1);
  });

  it('is not created by a datagram from port 0 or from our own address', async () => {
    const bind = vi.spyOn(Socket.prototype, 'bind');
    await using server = await serveRaw(ECHO);
    const [socket] = bind.mock.contexts as Socket[];
    const receiveFrom = (port: number): unknown =>
      socket?.emit('message', bytes('x'), { address: '127.0.0.1', family: 'IPv4', port, size: 1 });
    receiveFrom(0);
    receiveFrom(portOf(server.address));
    expect(server.endpoint.sessions.size).toBe(0);
  });

  it('receives connect-ping as a message where connectPing is false', async () => {
    await using server = await serveRaw(ECHO, { udp: { connectPing: false } });
    await using client = await connectRaw(server.address, { udp: { connectPing: false } });
    for (const text of ['hi', 'connect-ping']) {
      client.session.write(bytes(text));
      expect(String(await server.events.messages.next())).toBe(text);
      expect(String(await client.events.messages.next())).toBe(text);
    }
  });

  it('of a client receives connect-ping as a message in any case', async () => {
    await using server = await serveRaw({
      onMessage: (session) => void session.write(bytes('connect-ping')),
    });
    await using client = await connectRaw(server.address);
    // This message and the connect-ping of the client raise the limit for the answer.
    client.session.write(bytes('hi'));
    expect(String(await client.events.messages.next())).toBe('connect-ping');
  });
});

describe('a session with a Go client', () => {
  interface EchoMessage {
    readonly header: Buffer;
    readonly text: string;
  }

  const codec: Codec<EchoMessage> = {
    read(input) {
      if (input.length < 32) return undefined;
      if (input.view.getUint32(input.position, true) !== 0x20160905) throw new Error('wrong magic');
      if (input.length < 32 + input.view.getUint16(input.position + 24, true)) return undefined;
      const header = input.take(32);
      return { header, text: input.takeText(input.take(1)[0] as number) };
    },
    write(output, { header, text }) {
      output.append(header);
      output.uint8(text.length);
      output.text(text);
    },
  };

  it('answers the recorded datagrams of Go with the same bytes as a Go server', async () => {
    const file = new URL('../../fixtures/vectors/echo-udp.jsonl', import.meta.url);
    type Vector = { peer: number; direction: string; datagramHex: string };
    const vectors = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Vector);
    const of = (peer: number, direction: string): string[] =>
      vectors
        .filter((vector) => vector.peer === peer && vector.direction === direction)
        .map((vector) => vector.datagramHex);

    const events = new Recorder<EchoMessage>('the server', {
      onMessage: (session, message) =>
        session.write(
          message.header.readUInt32LE(16) === 0 ? { ...message, text: 'pong' } : message,
        ),
    });
    await using server = await serve(ANY_UDP, { codec, listener: events });
    const peers = [...new Set(vectors.map((vector) => vector.peer))];
    expect(peers.length).toBe(3);
    await Promise.all(
      peers.map(async (peer) => {
        using client = new PlainPeer(server.address);
        for (const datagram of of(peer, 'client-to-server'))
          await client.send(Buffer.from(datagram, 'hex'));
        const answers = await client.received.take(of(peer, 'server-to-client').length);
        expect(answers.map((answer) => answer.toString('hex')).sort()).toEqual(
          of(peer, 'server-to-client').sort(),
        );
        await turns(2);
        expect(client.received.unread).toEqual([]);
      }),
    );
    expect(server.sessions.size).toBe(3);
    expect(events.errors.all).toEqual([]);
  });
});
