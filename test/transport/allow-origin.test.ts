/** websocket.allowOrigin as a function of the program, which can be slow or fail. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ServerOptions } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { refusalCounts, serveRecording, upgradeStatus } from '../fixtures/refusals.js';
import { untilQuiet } from '../fixtures/session-probes.js';
import { gate, turns, within } from '../fixtures/waiting.js';
import { handshakeRequest, rawPeer } from '../fixtures/websocket.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

describe('allowOrigin as a function', () => {
  const from = (origin: string): string[] => [`Origin: ${origin}`];

  it('may return a promise', async () => {
    const allowOrigin = async (origin: string): Promise<boolean> => {
      await turns(3);
      return origin === 'https://good.example';
    };
    await using server = await serveRecording('ws://127.0.0.1:0', { websocket: { allowOrigin } });
    expect(await upgradeStatus(server.address, from('https://good.example'))).toBe(101);
    expect(await upgradeStatus(server.address, from('https://bad.example'))).toBe(403);
    expect(refusalCounts(server.server)).toEqual({ origin: 1 });
  });

  it.each<[what: string, allowOrigin: () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no database');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no database'))],
    [
      'returns a thenable that rejects',
      // biome-ignore lint/suspicious/noThenProperty: a thenable is the case.
      () => ({ then: (_: unknown, no: (error: Error) => void) => no(new Error('no database')) }),
    ],
  ])(
    'that %s refuses the origin, with one process warning for many requests',
    async (_what, allowOrigin) => {
      const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
      await using server = await serveRecording('ws://127.0.0.1:0', {
        websocket: { allowOrigin },
      } as ServerOptions);
      for (let i = 0; i < 3; i++)
        expect(await upgradeStatus(server.address, from('https://good.example'))).toBe(403);
      expect(
        warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code),
      ).toEqual(['HANDLER_FAILED']);
    },
  );

  it('that never settles ends with handshakeTimeout', async () => {
    await using server = await serveRecording('ws://127.0.0.1:0', {
      handshakeTimeout: 50,
      websocket: { allowOrigin: () => new Promise<boolean>(() => {}) },
    });
    using peer = rawPeer(server.address);
    peer.socket.write(handshakeRequest(server.address, from('https://good.example')));
    await within(peer.ended, 'the end of the connection');
    expect((await server.refusals.next()).error.reason).toBe('timeout');
  });

  it('that settles after the peer has ended opens no session', async () => {
    const asked = gate();
    const answer = gate<boolean>();
    const allowOrigin = (): Promise<boolean> => {
      asked.open();
      return answer.promise;
    };
    await using server = await serveRecording('ws://127.0.0.1:0', { websocket: { allowOrigin } });
    using peer = rawPeer(server.address);
    peer.socket.end(handshakeRequest(server.address, from('https://good.example')));
    await asked.promise;
    await untilQuiet();
    answer.open(true);
    await within(peer.ended, 'the end of the connection');
    expect(server.server.sessions.size).toBe(0);
  });

  it('that settles after the server has closed opens no session', async () => {
    const asked = gate();
    const answer = gate<boolean>();
    const allowOrigin = (): Promise<boolean> => {
      asked.open();
      return answer.promise;
    };
    const server = await serveRecording('ws://127.0.0.1:0', { websocket: { allowOrigin } });
    using peer = rawPeer(server.address);
    peer.socket.write(handshakeRequest(server.address, from('https://good.example')));
    await asked.promise;
    await server.server.close();
    answer.open(true);
    await untilQuiet();
    expect(server.server.sessions.size).toBe(0);
    expect(refusalCounts(server.server)).toEqual({});
  });
});
