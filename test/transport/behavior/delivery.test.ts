/** How messages travel from one session to the other. The same on every transport. */
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { lengthPrefixed, raw, type Session } from '../../../src/transport/index.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import { pair, runForEveryTransport } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';

const MIB = 1024 * 1024;

runForEveryTransport({
  async 'calls onOpen first, then onMessage, and onClose once and last'(row) {
    await using p = await pair(row);
    p.clientSession.write('one');
    await p.serverEvents.messages.next();
    await p.clientSession.close();
    await p.serverEvents.closed.next();
    await untilQuiet();
    expect(p.serverEvents.log).toEqual(['open', 'message', 'close']);
    expect(p.clientEvents.log).toEqual(['open', 'close']);
  },

  async 'delivers a message that is written in onOpen'(row) {
    const greet = { onOpen: (session: Session<string>) => void session.write('hello') };
    await using p = await pair(row, { clientSide: { on: greet }, serverSide: { on: greet } });
    expect(await p.serverEvents.messages.next()).toBe('hello');
    expect(await p.clientEvents.messages.next()).toBe('hello');
  },

  async 'delivers messages in order in both directions'(row) {
    await using p = await pair(row, {
      serverSide: { on: { onMessage: (session, line) => session.write(`${line} back`) } },
    });
    for (let i = 0; i < 300; i++) {
      p.clientSession.write(`${i}`);
      if (i % 7 === 0) await turns();
    }
    expect(await p.clientEvents.messages.take(300)).toEqual(
      Array.from({ length: 300 }, (_, i) => `${i} back`),
    );
  },

  async 'delivers many messages of one tick in order'(row) {
    await using p = await pair(row);
    const sent = Array.from({ length: 5_000 }, (_, i) => `message ${i} ${'x'.repeat(i % 97)}`);
    for (const line of sent) p.clientSession.write(line);
    expect(await p.serverEvents.messages.take(sent.length)).toEqual(sent);
  },

  async 'leaves the bytes of a message as they are when this and other sessions receive more'(row) {
    const side = { codec: lengthPrefixed() };
    await using first = await pair(row, { clientSide: side, serverSide: side });
    await using second = await pair(row, { clientSide: side, serverSide: side });
    const kept: Uint8Array[] = [];
    for (let i = 0; i < 20; i++) {
      for (const { clientSession, serverEvents, serverSession, clientEvents } of [first, second]) {
        clientSession.write(new Uint8Array(40 + i).fill(i));
        serverSession.write(new Uint8Array(40 + i).fill(i));
        kept.push(await serverEvents.messages.next(), await clientEvents.messages.next());
      }
    }
    expect(kept.map((bytes) => new Set(bytes).size)).toEqual(kept.map(() => 1));
    expect(kept.map((bytes) => bytes[0])).toEqual(kept.map((_, i) => i >> 2));
  },

  async 'assembles a message that arrives in pieces, at every split'(row) {
    await using p = await pair(row, { clientSide: { codec: raw() } });
    const line = Buffer.from('grün!\r\n');
    for (let at = 0; at <= line.length; at++) {
      p.clientSession.writeBytes(line.subarray(0, at));
      await turns(2);
      p.clientSession.writeBytes(line.subarray(at));
      expect(await p.serverEvents.messages.next()).toBe('grün!');
    }
    for (const byte of line) {
      p.clientSession.writeBytes(Uint8Array.of(byte));
      await turns();
    }
    expect(await p.serverEvents.messages.next()).toBe('grün!');
  },

  async 'separates messages that arrive in one chunk'(row) {
    await using p = await pair(row, { clientSide: { codec: raw() } });
    p.clientSession.writeBytesArray([Buffer.from('a\nb'), Buffer.from('b\n'), Buffer.from('c\nd')]);
    expect(await p.serverEvents.messages.take(3)).toEqual(['a', 'bb', 'c']);
    p.clientSession.writeBytes(Buffer.from('d\n'));
    expect(await p.serverEvents.messages.next()).toBe('dd');
  },

  async 'delivers the bytes of writeBytes() unchanged, on a message transport as one message'(row) {
    const options = { codec: raw(), maxMessageBytes: 4 * MIB };
    await using p = await pair(row, { clientSide: options, serverSide: options });
    const isDatagram = p.clientSession.lossy;
    const bytes = Buffer.alloc(isDatagram ? 60_000 : 3 * MIB, 'every size ');
    p.clientSession.writeBytes(bytes);
    p.clientSession.writeBytesArray([bytes.subarray(0, 10), bytes.subarray(10)]);
    const expected = Buffer.concat([bytes, bytes]);
    const { messages } = p.serverEvents;
    if (row.isMessageTransport) {
      expect((await messages.take(2)).map((message) => message.length)).toEqual([
        bytes.length,
        bytes.length,
      ]);
    } else await until(() => Buffer.concat(messages.all).length === expected.length, 'all arrived');
    expect(Buffer.concat(messages.all).equals(expected)).toBe(true);
  },

  async 'delivers an empty message'(row) {
    await using p = await pair(row);
    p.clientSession.write('');
    p.clientSession.write('after');
    expect(await p.serverEvents.messages.take(2)).toEqual(['', 'after']);
  },

  async 'delivers a message of maxMessageBytes unchanged'(row) {
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed() },
      serverSide: { codec: lengthPrefixed() },
    });
    const sent = randomBytes(p.clientSession.maxMessageBytes - 4);
    p.clientSession.write(sent);
    expect((await p.serverEvents.messages.next()).equals(sent)).toBe(true);
  },

  async 'does not reuse the bytes of a message that a handler keeps'(row) {
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed() },
      serverSide: { codec: lengthPrefixed() },
    });
    const sent = Array.from({ length: 200 }, (_, i) => Buffer.alloc(1 + ((i * 379) % 3_000), i));
    for (const message of sent) {
      p.clientSession.write(message);
      if (message[0] === 100) await turns(3);
    }
    const kept = await p.serverEvents.messages.take(sent.length);
    expect(kept.every((message, i) => message.equals(sent[i] as Buffer))).toBe(true);
  },

  async 'copies the bytes that are given to write()'(row) {
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed() },
      serverSide: { codec: lengthPrefixed() },
    });
    const buffer = Buffer.alloc(100, 1);
    p.clientSession.write(buffer);
    buffer.fill(2);
    p.clientSession.write(buffer);
    buffer.fill(3);
    expect((await p.serverEvents.messages.take(2)).map((message) => message[99])).toEqual([1, 2]);
  },
});
