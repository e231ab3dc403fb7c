/** Interceptors of clients and servers. */
import { expect } from 'vitest';
import {
  type CallContext,
  type Interceptor,
  RPC_DEFAULTS,
  RpcError,
} from '../../../src/rpc/index.js';
import { channelOf, outcome } from '../../fixtures/rpc.js';
import { testInEveryEnvironment } from '../../fixtures/rpc-environments.js';
import { rejection } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

testInEveryEnvironment({
  async 'interceptors wrap calls on both sides, and the first one sees a call first'(environment) {
    const log: string[] = [];
    const tracing =
      (name: string): Interceptor =>
      (next) =>
      async (call) => {
        log.push(`${name} ${call.method.name} ${(call.input as { A: number }).A}`);
        const reply = await next(
          call.with({
            input: { A: (call.input as { A: number }).A + 1, B: 0 },
            metadata: { ...call.metadata, [name]: 'was here' },
          }),
        );
        log.push(`${name} done`);
        return reply;
      };
    const seen: CallContext[] = [];
    await using pair = await environment.rig({
      handlers: {
        add(input, context) {
          log.push(`handler ${input.A}`);
          seen.push(context);
          return { Sum: input.A };
        },
      },
      client: { interceptors: [tracing('c1'), tracing('c2')] },
      server: { interceptors: [tracing('s1'), tracing('s2')] },
    });
    // With compression the first call waits until the peer is known. Then it has less time left.
    const channel = await channelOf(pair.client);
    await until(() => channel.extended === true, 'the server has answered');
    expect(await pair.stub.add({ A: 1 })).toMatchObject({ Sum: 5 });
    expect(log).toEqual([
      'c1 Add 1',
      'c2 Add 2',
      's1 Add 3',
      's2 Add 4',
      'handler 5',
      's2 done',
      's1 done',
      'c2 done',
      'c1 done',
    ]);
    const [context] = seen;
    expect({ ...context?.metadata }).toEqual({
      c1: 'was here',
      c2: 'was here',
      s1: 'was here',
      s2: 'was here',
    });
    expect([context?.peer, context?.channel, context?.timeout]).toEqual([
      (await channelOf(pair.server)).peer,
      await channelOf(pair.server),
      RPC_DEFAULTS.timeout,
    ]);
    expect(context?.signal).toBeInstanceOf(AbortSignal);
  },

  async 'an interceptor can answer a call itself, and can replace an error'(environment) {
    const shortCut: Interceptor = (next) => async (call) =>
      call.metadata.cached === undefined ? next(call) : { Sum: 99 };
    const mapping: Interceptor = (next) => (call) =>
      next(call).catch((error: RpcError) =>
        Promise.reject(new RpcError('DATA_LOSS', `mapped ${error.code}: ${error.message}`)),
      );
    const throwing: Interceptor = (next) => (call) => {
      if (call.metadata.throws !== undefined) throw new RpcError('PERMISSION_DENIED', 'not you');
      return next(call);
    };
    for (const interceptors of [
      [shortCut, mapping],
      [mapping, throwing],
    ]) {
      for (const side of ['client', 'server'] as const) {
        await using pair = await environment.rig({ [side]: { interceptors } });
        expect((await pair.stub.add({ A: 1, B: 1 }, { metadata: { cached: 'yes' } })).Sum).toBe(
          interceptors.includes(shortCut) ? 99 : 2,
        );
        expect(await rejection(pair.stub.err({}))).toMatchObject({
          code: 'DATA_LOSS',
          message: 'mapped UNKNOWN: this is a error test',
        });
      }
    }
    for (const side of ['client', 'server'] as const) {
      await using pair = await environment.rig({ [side]: { interceptors: [throwing] } });
      expect(await outcome(pair.stub.add({}, { metadata: { throws: 'yes' } }))).toBe(
        'PERMISSION_DENIED',
      );
      expect(await outcome(pair.stub.add({}))).toBe('ok');
    }
  },
});
