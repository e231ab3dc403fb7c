/** The checks and effects of options that concern UDP. */
import { Socket } from 'node:dgram';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type Client,
  type ClientOptions,
  connect,
  raw,
  type Server,
  type ServerOptions,
  serve,
} from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import {
  ANY_UDP,
  connectRaw,
  ECHO,
  LARGEST_DATAGRAM,
  PlainPeer,
  QUIET_TURNS,
  serveRaw,
} from '../../fixtures/udp-endpoints.js';
import { turns, until } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

describe('an option of UDP', () => {
  const setup = { codec: raw(), listener: { onMessage: () => {} } };
  const INVALID: [udp: unknown, message: string][] = [
    [7, 'got 7'],
    [{ maxDatagramBytes: 0 }, 'maxDatagramBytes: got 0, expected an integer from 1 to 65507'],
    [{ maxDatagramBytes: LARGEST_DATAGRAM + 1 }, 'maxDatagramBytes: got 65508'],
    [{ amplification: -1 }, 'amplification: got -1'],
    [{ amplification: Number.NaN }, 'amplification: got NaN'],
    [{ connectPing: 'no' }, 'connectPing: got "no", expected a boolean'],
    [{ broadcast: 1 }, 'broadcast: got 1, expected a boolean'],
    [{ multicast: '239.1.2.3' }, 'multicast: got "239.1.2.3"'],
    [
      { multicast: ['127.0.0.1'] },
      'udp.multicast: got an array, expected a list of multicast addresses',
    ],
    [{ multicast: ['ff02::1', 7] }, 'udp.multicast: got an array'],
    [{ multicastInterface: 'eth0' }, 'udp.multicastInterface: got "eth0"'],
    [{ multicastTtl: 256 }, 'multicastTtl: got 256, expected an integer from 0 to 255'],
    [{ multicastTtl: 1.5 }, 'udp.multicastTtl: got 1.5, expected an integer from 0 to 255'],
    [{ multicastLoopback: null }, 'multicastLoopback: got null, expected a boolean'],
  ];

  it.each(INVALID)(
    'with the value %o is rejected by serve() and connect()',
    async (udp, message) => {
      const attempts: Promise<Server<Buffer> | Client<Buffer>>[] = [
        serve(ANY_UDP, setup, { udp } as ServerOptions),
        connect('udp://127.0.0.1:1', setup, { udp } as ClientOptions),
      ];
      for (const attempt of attempts)
        expect(await rejection(attempt)).toMatchObject({
          code: 'BAD_OPTION',
          message: expect.stringContaining(message),
        });
    },
  );

  it.each([0, -1, Number.NaN, '10'])('maxSessions: %o is BAD_OPTION', async (maxSessions) => {
    const error = await rejection(serve(ANY_UDP, setup, { maxSessions } as ServerOptions));
    expect(error).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('maxSessions: got'),
    });
  });

  it('sets the sizes of the buffers of the system', async () => {
    const bind = vi.spyOn(Socket.prototype, 'bind');
    const sizes = { receiveBufferBytes: 20_000, sendBufferBytes: 30_000 };
    await using server = await serveRaw(ECHO, { socket: sizes });
    await using _client = await connectRaw(server.address, { socket: sizes });
    for (const socket of bind.mock.contexts as Socket[]) {
      expect(socket.getRecvBufferSize()).toBeGreaterThanOrEqual(20_000);
      expect(socket.getRecvBufferSize()).toBeLessThan(100_000);
      expect(socket.getSendBufferSize()).toBeGreaterThanOrEqual(30_000);
    }
    expect(bind.mock.contexts.length).toBe(2);
  });

  it('cannot be compression', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using server = await serve(ANY_UDP, { ...setup, compression: 'deflate' });
    expect(
      await rejection(connect(server.address, { ...setup, compression: 'deflate' })),
    ).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('compression'),
    });
    using peer = new PlainPeer(server.address);
    for (let i = 0; i < 3; i++) await peer.send('hello');
    await until(() => warning.mock.calls.length > 0, 'a warning is emitted');
    await turns(QUIET_TURNS);
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code),
    ).toEqual(['BAD_OPTION']);
    expect(server.sessions.size).toBe(0);
  });
});
