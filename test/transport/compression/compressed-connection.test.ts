/** What both compressions do on each transport of streams. */
import type { Socket } from 'node:net';
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { lengthPrefixed, type Session } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { pair, type TransportRow } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';
import { CompressedPairs, STREAM_TRANSPORTS, WORDS } from './compressed-pair.js';
import { compressed, readAll, stream } from './snappy-chunks.js';
import { zlibCompressor, zlibInflate } from './zlib-peer.js';

/** A compression, and a peer that does not use the tested code to compress. */
interface Peer {
  readonly compression: 'deflate' | 'snappy';
  /** Returns a function that makes the next bytes of one compressed stream. */
  compressor(): (text: string) => Promise<Buffer>;
  inflate(wire: Buffer): Promise<Buffer>;
  /** A stream that inflates to much more than `maxInflatedBytes`. */
  readonly bomb: { readonly wire: Buffer; readonly maxInflatedBytes: number };
  /** The most bytes that a session reads of a chunk in which it is paused at once. */
  readonly maxReadWhilePaused: number;
}

const PEERS: readonly Peer[] = [
  {
    compression: 'deflate',
    compressor: zlibCompressor,
    inflate: zlibInflate,
    bomb: {
      wire: deflateRawSync(Buffer.alloc(50 * 1024 * 1024, '\n'), {
        finishFlush: constants.Z_SYNC_FLUSH,
      }),
      maxInflatedBytes: 100_000,
    },
    maxReadWhilePaused: 200_000,
  },
  {
    compression: 'snappy',
    compressor() {
      let isFirst = true;
      return async (text) => {
        const chunk = compressed(Buffer.from(text));
        const wire = isFirst ? stream(chunk) : chunk;
        isFirst = false;
        return wire;
      };
    },
    inflate: async (wire) => readAll([wire]),
    // A socket may deliver a larger stream in several chunks, and the limit is per chunk.
    bomb: {
      wire: stream(...Array<Buffer>(15).fill(compressed(Buffer.alloc(65_536, '\n')))),
      maxInflatedBytes: 200_000,
    },
    // The session may have read the next chunk already.
    maxReadWhilePaused: 500_000,
  },
];

const TABLE = PEERS.flatMap((peer) =>
  STREAM_TRANSPORTS.map((row) => ({
    name: `${peer.compression} over ${row.name}`,
    peer,
    pairs: new CompressedPairs(row, peer.compression),
  })),
);

/** Pauses after each message, and resumes in the next turn of the event loop. */
function pauseForOneTurn(session: Session<never, never>): void {
  session.pause();
  setImmediate(() => session.resume());
}

describe.each(TABLE)('$name', ({ peer, pairs }) => {
  noLeaks();

  it('compresses all writes in order', async () => {
    await using p = await pairs.compressing();
    let sent = '';
    for (let i = 0; i < 200; i++) {
      const line = `${i} ${WORDS.slice(0, i)}`;
      p.clientSession.write(line);
      p.clientSession.writeBytes(Buffer.from('raw '));
      p.clientSession.writeBytesArray([Buffer.from('and '), Buffer.from('array\n')]);
      sent += `${line}\nraw and array\n`;
      if (i % 10 === 0) await turns(2);
    }
    await p.clientSession.close();
    const wire = Buffer.concat(p.serverEvents.messages.all);
    expect(wire.length).toBeLessThan(sent.length / 2);
    expect((await peer.inflate(wire)).toString()).toBe(sent);
  });

  it('inflates a stream that arrives byte by byte', async () => {
    await using p = await pairs.inflating();
    for (const byte of await peer.compressor()(`one\n${WORDS}\ntwo\n`)) {
      p.clientSession.writeBytes(Buffer.of(byte));
      await turns();
    }
    expect(await p.serverEvents.messages.take(3)).toEqual(['one', WORDS, 'two']);
  });

  it('ends with INFLATE_LIMIT when a chunk inflates to more than maxInflatedBytes', async () => {
    const { wire, maxInflatedBytes } = peer.bomb;
    await using p = await pairs.inflating({ maxInflatedBytes });
    expect(wire.length).toBeLessThan(60_000);
    p.clientSession.writeBytes(wire);
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'INFLATE_LIMIT',
      message: expect.stringContaining(`maxInflatedBytes, ${maxInflatedBytes}`),
    });
    expect(p.serverSession.stats.bytesRead).toBeLessThanOrEqual(maxInflatedBytes);
    await pairs.expectServerContinues(p);
  });

  it('applies maxInflatedBytes to each chunk, not to the stream', async () => {
    await using p = await pairs.inflating({ maxInflatedBytes: 2_000 });
    const compress = peer.compressor();
    for (let i = 0; i < 20; i++) {
      p.clientSession.writeBytes(await compress(`${WORDS}\n`));
      await p.serverEvents.messages.next();
    }
    expect(p.serverSession.stats.bytesRead).toBeGreaterThan(10_000);
  });

  it('ends with BAD_FRAME when the peer ends inside a message', async () => {
    await using p = await pairs.inflating();
    p.clientSession.writeBytes(await peer.compressor()('one\ntw'));
    void p.clientSession.close();
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('inside a message, after 2 bytes'),
    });
    await p.serverEvents.closed.next();
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
  });

  it('inflates no further while paused, and loses nothing', async () => {
    const count = 4_000;
    const pauseAtFirst = {
      onMessage: (session: Session<string>, line: string) =>
        line.startsWith('0 ') && session.pause(),
    };
    await using p = await pairs.both({}, { on: pauseAtFirst });
    // About 4 MB, which are a few KB on the wire: one chunk contains nearly all of it.
    for (let i = 0; i < count; i++) p.clientSession.write(`${i} ${WORDS}`);
    await p.serverEvents.messages.next();
    await turns(200);
    expect(p.serverEvents.messages.all.length).toBe(1);
    expect(p.serverSession.stats.bytesRead).toBeLessThan(peer.maxReadWhilePaused);
    p.serverSession.resume();
    expect((await p.serverEvents.messages.take(count - 1)).at(-1)).toBe(`${count - 1} ${WORDS}`);
  });

  it('loses nothing when the session pauses and resumes at each message', async () => {
    await using p = await pairs.both({}, { on: { onMessage: pauseForOneTurn } });
    const sent = Array.from({ length: 500 }, (_, i) => `${i} ${WORDS.slice(0, i)}`);
    for (const line of sent) p.clientSession.write(line);
    expect(await p.serverEvents.messages.take(sent.length)).toEqual(sent);
  });

  it('delivers all messages before an orderly end to a slow reader', async () => {
    await using p = await pairs.both<Buffer, Uint8Array>(
      { codec: lengthPrefixed() },
      { on: { onMessage: pauseForOneTurn } },
    );
    const sent = Array.from({ length: 150 }, (_, i) => Buffer.alloc(10_000, i));
    for (const message of sent) p.clientSession.write(message);
    await p.clientSession.close();
    await p.serverEvents.closed.next();
    expect(p.serverEvents.messages.all.length).toBe(sent.length);
    expect(Buffer.concat(p.serverEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
    expect(p.serverEvents.errors.all).toEqual([]);
  });

  it('counts queuedBytes before compression, down to 0 when all are taken', async () => {
    await using p = await pairs.compressing();
    for (let i = 0; i < 50; i++) p.clientSession.write(WORDS);
    expect(p.clientSession.queuedBytes).toBe(50 * (WORDS.length + 1));
    await p.clientSession.send('last');
    expect(p.clientSession.queuedBytes).toBe(0);
  });
});

describe.each(['deflate', 'snappy'] as const)(
  '%s over tcp with half-open sessions',
  (compression) => {
    const [tcp] = STREAM_TRANSPORTS.filter(({ name }) => name === 'tcp') as [TransportRow];
    const both = { compression, allowHalfOpen: true, waitTime: 60_000 };

    it('delivers the messages of the peer, and its end, after close() of this side', async () => {
      const side = { ...both, on: { onEnd() {} } };
      await using p = await pair(tcp, { clientSide: side, serverSide: side });
      const closing = p.serverSession.close();
      await until(() => p.clientEvents.log.includes('end'), 'the end of the server');
      for (const line of ['one', 'two']) p.clientSession.write(line);
      await p.clientSession.close();
      await closing;
      expect(p.serverEvents.log).toEqual(['open', 'message', 'message', 'end', 'close']);
    });

    it('reports at once that the connection is lost, while the session is paused', async () => {
      await using p = await pair(tcp, {
        clientSide: both,
        serverSide: { ...both, on: { onEnd: (session) => session.pause() } },
      });
      const socket = p.clientSession.socket as Socket;
      socket.end();
      await until(() => p.serverEvents.log.includes('end'), 'the end of the client');
      socket.resetAndDestroy();
      p.serverSession.write('lost');
      expect((await p.serverEvents.errors.next()).code).toBe('CONNECTION_LOST');
      await p.serverEvents.closed.next();
      // It ends within close() or before, and leaves no timer.
      await p.serverSession.close();
      p.clientEvents.errors.dismiss();
    });
  },
);
