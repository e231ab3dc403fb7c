/** Calls of a server to the services that its client offers. */
import { expect } from 'vitest';
import { channelOf, outcome, pendingOf, TestService } from '../../fixtures/rpc.js';
import { testInEveryEnvironment } from '../../fixtures/rpc-environments.js';

testInEveryEnvironment({
  async 'a server calls the services of its client, also within a handler'(environment) {
    const offered = environment.offeredService({ add: ({ A, B }) => ({ Sum: A * B }) });
    await using pair = await environment.rig({
      handlers: {
        add: async (input, { channel }) => ({
          Sum:
            1_000 + (await channel.stub(TestService, { codec: environment.codec }).add(input)).Sum,
        }),
      },
      client: { services: [offered] },
    });
    expect(
      await Promise.all([2, 3, 4].map(async (n) => (await pair.stub.add({ A: n, B: n })).Sum)),
    ).toEqual([1_004, 1_009, 1_016]);
    // Also without a call in flight.
    const channel = await channelOf(pair.server);
    expect(
      await channel.stub(TestService, { codec: environment.codec }).add({ A: 6, B: 7 }),
    ).toMatchObject({ Sum: 42 });
    expect(pendingOf(pair.client, pair.server)).toBe(0);
  },

  async 'a server gets UNIMPLEMENTED for a service that its client does not offer'(environment) {
    await using pair = await environment.rig();
    await pair.stub.test({});
    expect(
      await outcome(
        (await channelOf(pair.server)).stub(TestService, { codec: environment.codec }).add({}),
      ),
    ).toBe('UNIMPLEMENTED');
  },
});
