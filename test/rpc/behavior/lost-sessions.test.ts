/** The loss of a session, and the reconnection of a client. */
import { expect } from 'vitest';
import { serve } from '../../../src/rpc/index.js';
import { serverEnd } from '../../fixtures/channel-addresses.js';
import {
  LONG_TIMEOUT,
  outcome,
  pendingOf,
  TestService,
  testService,
  watchSessions,
} from '../../fixtures/rpc.js';
import { testInEveryEnvironment } from '../../fixtures/rpc-environments.js';
import { Inbox, until } from '../../fixtures/waiting.js';

testInEveryEnvironment({
  async 'calls in flight fail at once on both sides when the session is lost'(environment) {
    using watched = watchSessions();
    const lost = new Inbox<string>('a lost nested call');
    await using pair = await environment.rig({
      handlers: {
        test: async (input, { channel }) => {
          const code = await outcome(
            channel
              .stub(TestService, { codec: environment.codec })
              .test(input, { timeout: LONG_TIMEOUT }),
          );
          lost.push(code);
          return {};
        },
      },
      client: {
        timeout: LONG_TIMEOUT,
        services: [
          environment.offeredService({
            test: (_, { signal }) =>
              new Promise((_resolve, reject) =>
                signal.addEventListener('abort', () => reject(signal.reason)),
              ),
          }),
        ],
      },
    });
    const call = outcome(pair.stub.test({}));
    await until(() => pendingOf(pair.server) === 1, 'the nested call waits');
    for (const session of watched.open) session.destroy();
    expect([await call, await lost.next()]).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    expect(pendingOf(pair.client, pair.server)).toBe(0);
  },

  async 'a client reconnects to its server after a restart'(environment) {
    const { transport } = environment;
    await using pair = await environment.rig({
      client: { reconnect: { initialDelay: 1, maxDelay: 5 } },
    });
    await pair.stub.add({});
    pair.server.destroy();
    await until(() => pair.client.channels.size === 0, 'the client has lost its session');
    await pair.server.close();
    expect(await outcome(pair.stub.add({}))).toBe('UNAVAILABLE');
    await using _restarted = await serve(serverEnd(pair.server.address), [testService()], {
      session: transport.options,
      ...transport.serverOptions,
    });
    await until(() => pair.client.channels.size === 1, 'the client has reconnected');
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  },
});
