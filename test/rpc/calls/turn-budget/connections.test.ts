/** Connections that begin or end together are handled in many turns of the event loop. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { describe, expect, test, vi } from 'vitest';
import { type EventListener, lines, serve } from '../../../../src/transport/index.js';
import { every } from '../../../../src/transport/session/timer-wheel.js';
import { HandshakeTracker } from '../../../../src/transport/stream/handshake-tracker.js';
import { CLIENT_TLS, SERVER_TLS } from '../../../fixtures/certificates.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { portOf } from '../../../fixtures/ports.js';
import { RawPeer } from '../../../fixtures/raw-peer.js';
import { freeMemoryAddress } from '../../../fixtures/rpc.js';
import { serveStartTls } from '../../../fixtures/start-tls-endpoints.js';
import { connectTcp, recordClientHello } from '../../../fixtures/tls-endpoints.js';
import { gate, turns, until } from '../../../fixtures/waiting.js';
import { handshakeRequest } from '../../../fixtures/websocket.js';
import { block, LIMIT, mostPerTurn } from './turn-budget.js';

noLeaks();

/** A server that ignores lines. */
const serveLines = (address: string, listener: Partial<EventListener<string>> = {}, options = {}) =>
  serve(
    address,
    { codec: lines(), listener: { onMessage() {}, ...listener } },
    { tls: /^(tls|wss):/.test(address) ? SERVER_TLS : undefined, ...options },
  );

/** Sockets that the server has accepted. */
async function connectMany(count: number, port: number): Promise<Socket[]> {
  const sockets = await Promise.all(Array.from({ length: count }, () => connectTcp(port)));
  // Node.js may accept one connection per turn.
  await turns(2 * count);
  return sockets;
}

/** Passes on the first bytes that are written, and the later ones when release() is called. */
class HeldSocket extends Duplex {
  readonly #socket: Socket;
  readonly #held: (() => void)[] = [];
  #writes = 0;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('data', (bytes) => this.push(bytes)).on('close', () => this.destroy());
  }

  /** Whether the client has completed its part of the handshake. */
  get hasHeld(): boolean {
    return this.#held.length > 0;
  }

  release(): void {
    for (const write of this.#held.splice(0)) write();
  }

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: unknown, done: () => void): void {
    const write = (): void => void this.#socket.write(bytes, () => done());
    if (this.#writes++ === 0) write();
    else this.#held.push(write);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

describe('a server divides into many turns', () => {
  test.each([
    ['tls', 'tls', ''],
    ['wss', 'wss', ''],
    ['tls, behind a proxy', 'tls', 'PROXY TCP4 203.0.113.7 192.0.2.1 50100 443\r\n'],
  ])(
    'the TLS handshakes that begin together (%s)',
    async (_, scheme, header) => {
      const count = 300;
      const hello = Buffer.concat([Buffer.from(header), await recordClientHello()]);
      const behindProxy = { trusted: ['127.0.0.1'], header: 'proxy-protocol' };
      const options = header === '' ? {} : { behindProxy };
      await using server = await serveLines(`${scheme}://127.0.0.1:0`, {}, options);
      const sockets = await connectMany(count, portOf(server.address));
      let answered = 0;
      for (const socket of sockets) socket.once('data', () => answered++);
      const most = await mostPerTurn(
        () => answered,
        async () => {
          for (const socket of sockets) socket.write(hello);
          await until(() => answered === count, 'the server has answered', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 2);
      for (const socket of sockets) socket.destroy();
    },
    2 * LIMIT,
  );

  test(
    'the TLS handshakes of startTls() that begin together',
    async () => {
      const count = 300;
      const hello = await recordClientHello();
      await using server = await serveStartTls();
      const sockets = await connectMany(count, server.port);
      let ready = 0;
      for (const socket of sockets) {
        socket.once('data', () => ready++);
        socket.write('STARTTLS\n');
      }
      await until(() => ready === count, 'all may begin', LIMIT);
      let answered = 0;
      for (const socket of sockets) socket.once('data', () => answered++);
      const most = await mostPerTurn(
        () => answered,
        async () => {
          for (const socket of sockets) socket.write(hello);
          await until(() => answered === count, 'the server has answered', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 2);
      for (const socket of sockets) socket.destroy();
      await until(() => server.endpoint.sessions.size === 0, 'all sessions have ended', LIMIT);
      server.events.errors.dismiss();
    },
    2 * LIMIT,
  );

  test(
    'the sessions of TLS handshakes that complete together',
    async () => {
      const count = 150;
      let opened = 0;
      const onOpen = (): void => {
        block(1);
        opened++;
      };
      await using server = await serveLines('tls://127.0.0.1:0', { onOpen });
      const clients = (await connectMany(count, portOf(server.address))).map((socket) => {
        const held = new HeldSocket(socket);
        const client = connectTls({ socket: held, host: '127.0.0.1', ca: CLIENT_TLS.ca as Buffer });
        client.on('error', () => {});
        return { held, client };
      });
      await until(() => clients.every(({ held }) => held.hasHeld), 'all are ready', LIMIT);
      const most = await mostPerTurn(
        () => opened,
        async () => {
          for (const { held } of clients) held.release();
          await until(() => opened === count, 'all sessions are open', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 2);
      for (const { client } of clients) client.destroy();
    },
    2 * LIMIT,
  );

  test.each([
    ['with plain text', (socket: Socket) => socket.write('GET / HTTP/1.1\r\n\r\n')],
    ['by a reset', (socket: Socket) => socket.resetAndDestroy()],
    ['by handshakeTimeout', () => {}],
  ])(
    'the refusals of TLS handshakes that fail together %s',
    async (_, fail) => {
      const count = 200;
      let refused = 0;
      const onRefused = (): void => {
        block(1);
        refused++;
      };
      await using server = await serveLines(
        'tls://127.0.0.1:0',
        {},
        { onRefused, handshakeTimeout: 3_000 },
      );
      const sockets = await connectMany(count, portOf(server.address));
      const most = await mostPerTurn(
        () => refused,
        async () => {
          for (const socket of sockets) fail(socket);
          await until(() => refused === count, 'all peers are refused', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 2);
      for (const socket of sockets) socket.destroy();
    },
    2 * LIMIT,
  );

  test.each(['allowOrigin', 'isHealthy'])(
    'the answers to requests that wait for one promise of %s',
    async (name) => {
      const count = 200;
      const verdict = gate<boolean>();
      let asked = 0;
      const ask = (): Promise<boolean> => {
        asked++;
        return verdict.promise;
      };
      let answered = 0;
      const onAnswer = (): void => {
        block(1);
        answered++;
      };
      const { answer } = HandshakeTracker.prototype;
      vi.spyOn(HandshakeTracker.prototype, 'answer').mockImplementation(function (
        this: HandshakeTracker,
        ...given
      ) {
        onAnswer();
        answer.apply(this, given);
      });
      const websocket =
        name === 'isHealthy'
          ? { health: { path: '/health', isHealthy: ask } }
          : { allowOrigin: ask };
      await using server = await serveLines(
        'ws://127.0.0.1:0',
        { onOpen: onAnswer },
        { websocket },
      );
      const sockets = await connectMany(count, portOf(server.address));
      const request =
        name === 'isHealthy'
          ? 'GET /health HTTP/1.1\r\nHost: a.example\r\n\r\n'
          : handshakeRequest(server.address, ['Origin: http://a.example']);
      const most = await mostPerTurn(
        () => answered,
        async () => {
          for (const socket of sockets) socket.write(request);
          await until(() => asked === count, 'all have asked', LIMIT);
          verdict.open(true);
          await until(() => answered === count, 'all are answered', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 2);
      for (const socket of sockets) socket.destroy();
      vi.restoreAllMocks();
    },
    2 * LIMIT,
  );

  test.each([
    ['end', 'onEnd', (socket: Socket) => socket.end()],
    ['reset', 'onClose', (socket: Socket) => socket.resetAndDestroy()],
  ] as const)(
    'the ends of connections whose peers %s them together',
    async (_, event, leave) => {
      const count = 200;
      let ended = 0;
      const onEvent = (): void => {
        block(1);
        ended++;
      };
      await using server = await serveLines('tcp://127.0.0.1:0', { [event]: onEvent });
      const sockets = await connectMany(count, portOf(server.address));
      await until(() => server.sessions.size === count, 'all sessions are open', LIMIT);
      const most = await mostPerTurn(
        () => ended,
        async () => {
          for (const socket of sockets) leave(socket);
          await until(() => ended === count, 'all sessions have ended', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 2);
    },
    2 * LIMIT,
  );

  test(
    'the sessions that it closes',
    async () => {
      const count = 1_500;
      const server = await serveLines(freeMemoryAddress());
      const peers: RawPeer[] = [];
      for (let n = 0; n < count; n++) peers.push(await RawPeer.connect(server.address));
      const sessions = [...server.sessions];
      const most = await mostPerTurn(
        () => sessions.filter(({ closed }) => closed).length,
        async () => {
          const closing = server.close();
          expect(sessions[0]?.closed).toBe(true);
          await closing;
        },
      );
      expect(most).toBeLessThan(count / 2);
      expect(server.sessions.size).toBe(0);
      for (const peer of peers) await peer[Symbol.asyncDispose]();
    },
    2 * LIMIT,
  );

  test(
    'the periodic work of sessions that have opened together',
    async () => {
      const count = 1_500;
      const calls: number[] = [];
      const stops = Array.from({ length: count }, (_, n) => every(1_000, () => calls.push(n)));
      const most = await mostPerTurn(
        () => calls.length,
        () => until(() => calls.length >= count, 'all tasks have run', LIMIT),
      );
      for (const stop of stops) stop();
      expect(most).toBeLessThan(count / 2);
      expect(calls.slice(0, count)).toEqual(stops.map((_, n) => n));
    },
    2 * LIMIT,
  );
});
