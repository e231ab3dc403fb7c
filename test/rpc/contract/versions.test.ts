/** Which service a request goes to. */
import { describe, expect, test } from 'vitest';
import { contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress, outcome } from '../../fixtures/rpc.js';
import { jsonRequest, parseFrames } from '../../fixtures/rpc-frames.js';
import { rejection } from '../../fixtures/transports.js';

noLeaks();

describe('services and versions', () => {
  const whoService = (name: string, version?: string) => {
    const made = contract(
      name,
      { who: unary<void, string>() },
      version === undefined ? {} : { version },
    );
    return { made, service: implement(made, { who: () => `${name} ${version}` }) };
  };

  test('a request goes to the service with its name and version', async () => {
    const [a1, a2, b1, a3] = [
      whoService('A', 'v1'),
      whoService('A', 'v2'),
      whoService('B', 'v1'),
      whoService('A', 'v3'),
    ];
    await using server = await serve(freeMemoryAddress(), [a1.service, a2.service, b1.service]);
    await using client = await connectOnce(server.address);
    const who = (from: typeof a1) => client.stub(from.made).who();
    expect([await who(a1), await who(a2), await who(b1), await who(a1)]).toEqual([
      'A v1',
      'A v2',
      'B v1',
      'A v1',
    ]);
    expect(await outcome(who(a3))).toBe('UNIMPLEMENTED');
  });

  test('a request without a version goes to the service without one, else to the first', async () => {
    const [plain, v1, v2] = [whoService('A'), whoService('A', 'v1'), whoService('A', 'v2')];
    await using some = await serve(freeMemoryAddress(), [v1.service, v2.service]);
    await using all = await serve(freeMemoryAddress(), [v1.service, plain.service, v2.service]);
    await using one = await connectOnce(some.address);
    await using two = await connectOnce(all.address);
    expect([await one.stub(plain.made).who(), await two.stub(plain.made).who()]).toEqual([
      'A v1',
      'A undefined',
    ]);
  });

  test('a service without a version gets requests of every version', async () => {
    const plain = whoService('A');
    await using server = await serve(freeMemoryAddress(), [plain.service]);
    await using client = await connectOnce(server.address);
    expect(await client.stub(whoService('A', 'v7').made).who()).toBe('A undefined');
  });

  test('serve() rejects two services with the same name and version', async () => {
    expect(
      await rejection(
        serve(freeMemoryAddress(), [whoService('A', 'v1').service, whoService('A', 'v1').service]),
      ),
    ).toMatchObject({ code: 'BAD_OPTION' });
  });

  test('requests of two versions differ in their headers', () => {
    // The router caches routes by the bytes of the header.
    const frames = parseFrames(
      Buffer.concat(
        ['v1', 'v2'].map((Version) => jsonRequest('A', 'who', undefined, { more: { Version } })),
      ),
    );
    expect(frames[0]?.head.equals(frames[1]?.head as Buffer)).toBe(false);
  });
});
