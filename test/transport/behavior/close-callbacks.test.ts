/** Close callbacks of a session. The same on every transport. */
import { expect } from 'vitest';
import type { GettyError, Session } from '../../../src/transport/index.js';
import { pair, runForEveryTransport, thrown } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';

/** A close callback, and the reasons with which it was called. */
function recordReasons() {
  const reasons = new Inbox<string | undefined>('a call of the close callback');
  const callback = (_: Session<string>, reason: GettyError | undefined): void =>
    reasons.push(reason?.code);
  return { reasons, callback };
}

runForEveryTransport({
  async 'calls close callbacks once, in their order and before onClose, without a reason'(row) {
    await using p = await pair(row);
    const session = p.clientSession;
    const { log } = p.clientEvents;
    const first = (ended: Session<string>, reason?: GettyError): void => {
      expect([ended, ended.closed, reason]).toEqual([session, true, undefined]);
      log.push('first');
    };
    session.addCloseCallback(first);
    session.addCloseCallback(() => log.push('second'));
    session.addCloseCallback(first);
    await session.close();
    session.destroy();
    expect(log).toEqual(['open', 'first', 'second', 'close']);
  },

  async 'calls close callbacks with the error of destroy()'(row) {
    await using p = await pair(row);
    const reasons: unknown[] = [];
    p.clientSession.addCloseCallback((_, reason) => reasons.push(reason));
    p.clientSession.destroy(new Error('enough'));
    await p.clientEvents.closed.next();
    expect(reasons).toEqual([await p.clientEvents.errors.next()]);
    expect(reasons).toMatchObject([{ code: 'SESSION_DESTROYED', cause: { message: 'enough' } }]);
    for (const { errors } of [p.clientEvents, p.serverEvents]) errors.dismiss();
  },

  async 'calls close callbacks with the error of a limit'(row) {
    await using p = await pair(row);
    const { reasons, callback } = recordReasons();
    p.serverSession.addCloseCallback(callback);
    p.serverSession.idleTimeout = 40;
    expect(await reasons.next()).toBe('IDLE_TIMEOUT');
    p.serverEvents.errors.dismiss();
    p.clientSession.destroy();
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
  },

  async 'does not call a removed close callback'(row) {
    await using p = await pair(row);
    const session = p.clientSession;
    const calls: string[] = [];
    const removed = (): unknown => calls.push('removed');
    const removedLater = (): unknown => calls.push('removed later');
    const remover = (): void => {
      calls.push('remover');
      expect(session.removeCloseCallback(removedLater)).toBe(true);
      expect(session.removeCloseCallback(remover)).toBe(false);
    };
    expect(session.removeCloseCallback(removed)).toBe(false);
    for (const callback of [removed, remover, removedLater]) session.addCloseCallback(callback);
    expect(session.removeCloseCallback(removed)).toBe(true);
    expect(session.removeCloseCallback(removed)).toBe(false);
    await session.close();
    expect(calls).toEqual(['remover']);
  },

  async 'calls a close callback that is added after the end, but not at once'(row) {
    await using p = await pair(row);
    const { reasons, callback } = recordReasons();
    const nested = recordReasons();
    p.clientSession.addCloseCallback((session) => session.addCloseCallback(nested.callback));
    p.clientSession.destroy(new Error('enough'));
    await p.clientEvents.closed.next();
    expect(await nested.reasons.next()).toBe('SESSION_DESTROYED');
    p.clientSession.addCloseCallback(callback);
    expect(reasons.all).toEqual([]);
    expect(await reasons.next()).toBe('SESSION_DESTROYED');
    for (const { errors } of [p.clientEvents, p.serverEvents]) errors.dismiss();
  },

  async 'reports close callbacks that throw or reject, and calls the others'(row) {
    await using p = await pair(row);
    const { reasons, callback } = recordReasons();
    p.clientSession.addCloseCallback(() => {
      throw new Error('thrown');
    });
    p.clientSession.addCloseCallback(() => Promise.reject(new Error('rejected')));
    p.clientSession.addCloseCallback(callback);
    await p.clientSession.close();
    expect(reasons.all).toEqual([undefined]);
    expect(await p.clientEvents.errors.take(2)).toMatchObject([
      { code: 'HANDLER_FAILED', message: 'a close callback failed: thrown' },
      { code: 'HANDLER_FAILED', message: 'a close callback failed: rejected' },
    ]);
    p.clientEvents.errors.dismiss();
  },

  async 'keeps close callbacks after use()'(row) {
    await using p = await pair(row);
    const { reasons, callback } = recordReasons();
    p.clientSession.addCloseCallback(callback);
    p.clientSession.use({ listener: { onMessage() {} } });
    await p.clientSession.close();
    expect(reasons.all).toEqual([undefined]);
  },

  async 'refuses a close callback that is no function'(row) {
    await using p = await pair(row);
    for (const wrong of [undefined, null, 'close', {}])
      expect(thrown(() => p.clientSession.addCloseCallback(wrong as never)).code).toBe(
        'BAD_OPTION',
      );
  },
});
