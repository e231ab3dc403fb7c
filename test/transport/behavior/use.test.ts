/** Session.use(): another codec and another listener for an open session. */
import { expect } from 'vitest';
import {
  type Codec,
  lengthPrefixed,
  lines,
  raw,
  type Session,
} from '../../../src/transport/index.js';
import { Recorder } from '../../fixtures/recorder.js';
import { connectAs, pair, runForEveryTransport, serveAs } from '../../fixtures/transports.js';
import { gate } from '../../fixtures/waiting.js';

/** Reads lines until the first one, and calls `onFirst` in read(), without taking any byte. */
function detecting(onFirst: (session: Session<string>) => void): Codec<string> {
  return {
    read(_, session) {
      onFirst(session);
      return undefined;
    },
    write: lines().write,
  };
}

/** Reads lines and writes binary messages. */
const READS_LINES: Codec<string, Buffer> = {
  read: (input, session) => lines().read(input, session as Session<unknown> as Session<string>),
  write: (output, bytes, session) =>
    lengthPrefixed().write(output, bytes, session as Session<unknown> as Session<Buffer>),
};

runForEveryTransport({
  async 'reads and writes with another codec after use(), also what arrived in the same chunk'(
    row,
  ) {
    const second = new Recorder<Buffer>('the server after use()', {
      onMessage: (session, bytes) => void session.write(bytes),
    });
    const answers = new Recorder<Buffer>('the client after use()');
    await using p = await pair(row, {
      serverSide: {
        on: {
          onMessage(session, line) {
            session.write(`${line} accepted`);
            if (line === 'upgrade') session.use({ codec: lengthPrefixed(), listener: second });
          },
        },
      },
      clientSide: {
        on: {
          onMessage(session, line) {
            if (line === 'upgrade accepted')
              session.use({ codec: lengthPrefixed(), listener: answers });
          },
        },
      },
    });
    p.clientSession.write('first');
    p.clientSession.write('upgrade');
    // The client writes binary messages from now on, and reads lines until the answer arrives.
    const session = p.clientSession.use<string, Buffer>({ codec: READS_LINES });
    const sent = ['\n', 'a\nb', ''].map((text) => Buffer.from(text));
    for (const bytes of sent) session.write(bytes);
    expect(await answers.messages.take(3)).toEqual(sent);
    expect(p.serverEvents.messages.all).toEqual(['first', 'upgrade']);
    expect(p.clientEvents.messages.all).toEqual(['first accepted', 'upgrade accepted']);
    expect(second.messages.all).toEqual(sent);
  },

  async 'calls only the listener of use() from then on, and not its onOpen'(row) {
    const second = new Recorder<string>('the second listener', { onCron() {}, onEnd() {} });
    await using p = await pair(row, {
      serverSide: {
        cronPeriod: 20,
        on: { onMessage: (session) => void session.use({ listener: second }) },
      },
    });
    p.clientSession.write('one');
    p.clientSession.write('two');
    expect(await second.messages.next()).toBe('two');
    await second.crons.next();
    p.serverSession.destroy(new Error('enough'));
    await second.closed.next();
    expect((await second.errors.next()).code).toBe('SESSION_DESTROYED');
    expect(second.log.filter((event) => event !== 'cron')).toEqual([
      'message',
      'error SESSION_DESTROYED',
      'close',
    ]);
    expect(p.serverEvents.log).toEqual(['open', 'message']);
    p.clientEvents.errors.dismiss();
  },

  async 'reads with the other codec after an await, if onMessage has paused the session'(row) {
    const ready = gate();
    const second = new Recorder<Buffer>('the second listener');
    await using p = await pair(row, {
      serverSide: {
        on: {
          async onMessage(session) {
            session.pause();
            await ready.promise;
            session.use({ codec: raw(), listener: second });
            session.resume();
          },
        },
      },
    });
    p.clientSession.write('upgrade');
    p.clientSession.write('x');
    await p.serverEvents.messages.next();
    ready.open();
    expect(String(await second.messages.next())).toBe('x\n');
  },

  async 'lets the codec of use() read the bytes of which read() took nothing'(row) {
    const events = new Recorder<string>('the server');
    const second = new Recorder<Buffer>('the second listener');
    await using server = await serveAs(row, {
      ...row.options,
      codec: detecting((session) => session.use({ codec: raw(), listener: second })),
      listener: events,
    });
    await using client = await connectAs(
      row,
      server.address,
      { ...row.options, codec: lines(), listener: new Recorder<string>('the client') },
      { reconnect: false },
    );
    (await client.session()).write('hello');
    expect(String(await second.messages.next())).toBe('hello\n');
    expect(events.log).toEqual(['open']);
    client.destroy();
    server.destroy();
  },

  async 'reads the bytes of an incomplete message with the codec of a later use()'(row) {
    const second = new Recorder<Buffer>('the second listener');
    await using p = await pair(row, { clientSide: { codec: raw() } });
    p.clientSession.write(Buffer.from('one\ntwo'));
    await p.serverEvents.messages.next();
    p.serverSession.use({ codec: raw(), listener: second });
    expect(String(await second.messages.next())).toBe('two');
    // The timer of messageTimeout began with the new message.
    p.clientSession.write(Buffer.from('!'));
    expect(String(await second.messages.next())).toBe('!');
  },
});
