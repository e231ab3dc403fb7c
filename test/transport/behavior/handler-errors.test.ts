/** What a session does with callbacks that throw or reject. The same on every transport. */
import { expect, vi } from 'vitest';
import { lines } from '../../../src/transport/index.js';
import { connectAs, pair, runForEveryTransport } from '../../fixtures/transports.js';
import { turns, until } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'reports an error of onMessage to onError as HANDLER_FAILED, and stays open'(row) {
    const handlers = {
      throws: (): never => {
        throw new RangeError('oh');
      },
      rejects: () => Promise.reject(new RangeError('oh')),
    };
    for (const fail of Object.values(handlers)) {
      await using p = await pair(row, {
        serverSide: { on: { onMessage: (_, line) => (line === 'fail' ? fail() : undefined) } },
      });
      p.clientSession.write('fail');
      p.clientSession.write('go on');
      expect(await p.serverEvents.errors.next()).toMatchObject({
        code: 'HANDLER_FAILED',
        message: expect.stringContaining('oh'),
        cause: expect.any(RangeError),
      });
      expect(await p.serverEvents.messages.take(2)).toEqual(['fail', 'go on']);
      expect(p.serverSession.closed).toBe(false);
    }
  },

  async 'warns of an onError getter that throws, and closes sessions and the server'(row) {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const warnings = (): string => warn.mock.calls.map(([warning]) => `${warning}`).join();
    try {
      const oh = (): Promise<never> => Promise.reject(new RangeError('oh'));
      await using p = await pair(row, { serverSide: { on: { onMessage: oh, onClose: oh } } });
      Object.defineProperty(p.serverEvents, 'onError', {
        get() {
          throw new TypeError('no handlers');
        },
      });
      p.clientSession.write('fail');
      await until(() => warnings().includes('no handlers'), 'the getter has thrown');
      p.serverSession.destroy(new Error('mine'));
      await until(() => p.server.sessions.size === 0, 'the server has removed the session');
      await p.server.close();
      p.client.destroy();
      p.clientEvents.errors.dismiss();
    } finally {
      warn.mockRestore();
    }
  },

  async 'reports an error of onCron and onClose to onError'(row) {
    const handlers = {
      throws: (): never => {
        throw new RangeError('oh');
      },
      rejects: (): Promise<never> => Promise.reject(new RangeError('oh')),
    };
    for (const fail of Object.values(handlers)) {
      await using p = await pair(row, {
        serverSide: { cronPeriod: 10, on: { onCron: fail, onClose: fail } },
      });
      expect(await p.serverEvents.errors.next()).toMatchObject({
        code: 'HANDLER_FAILED',
        cause: expect.any(RangeError),
      });
      expect(p.serverSession.closed).toBe(false);
      await p.clientSession.close();
      await p.serverEvents.closed.next();
      await turns(2);
      expect(p.serverEvents.log.slice(p.serverEvents.log.lastIndexOf('close'))).toEqual([
        'close',
        'error HANDLER_FAILED',
      ]);
      p.serverEvents.errors.dismiss();
    }
  },

  async 'emits a process warning when onError fails'(row) {
    const handlers = {
      throws: (): never => {
        throw new RangeError('onError too');
      },
      rejects: (): Promise<never> => Promise.reject(new RangeError('onError too')),
    };
    for (const onError of Object.values(handlers)) {
      const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
      try {
        await using p = await pair(row, {
          serverSide: {
            on: {
              onError: onError as () => void,
              onMessage: () => Promise.reject(new Error('first')),
            },
          },
        });
        p.clientSession.write('x');
        await p.serverEvents.errors.next();
        await until(() => warning.mock.calls.length > 0, 'a warning is emitted');
        expect(warning.mock.calls[0]?.[0]).toMatchObject({
          code: 'HANDLER_FAILED',
          message: expect.stringContaining('onError too'),
        });
        expect(p.serverSession.closed).toBe(false);
      } finally {
        warning.mockRestore();
      }
    }
  },

  async 'emits a process warning for a failed handler without onError'(row) {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      await using p = await pair(row);
      const bare = {
        codec: lines(),
        listener: { onMessage: () => Promise.reject(new Error('not reported')) },
        ...row.options,
      };
      await using client = await connectAs(row, p.server.address, bare);
      await client.session();
      (await p.serverEvents.opened.next()).write('x');
      await until(() => warning.mock.calls.length > 0, 'a warning is emitted');
      expect(warning.mock.calls[0]?.[0]).toMatchObject({
        code: 'HANDLER_FAILED',
        message: expect.stringContaining('not reported'),
      });
    } finally {
      warning.mockRestore();
    }
  },
});
