/** The bytes of requests that a client sends. */
import { describe, expect, test } from 'vitest';
import { contract, oneway, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce, outcome, TestService } from '../../fixtures/rpc.js';
import { textField } from '../../fixtures/rpc-frames.js';

noLeaks();

describe('the frame of a request', () => {
  test('has no timeout when the method is oneway, because the caller does not wait', async () => {
    const Jobs = contract('Jobs', { begin: oneway<number>() });
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    await client.stub(Jobs).begin(1);
    await client.stub(Jobs).begin(1, { timeout: 1_234 });
    const header = '{"Service":"Jobs","Method":"begin","CallType":"CT_OneWay"}';
    for (const { head } of await server.requests.take(2)) expect(head.toString()).toBe(header);
  });

  const options = { timeout: 1_234, metadata: { a: 'b' } };

  test('has all fields of its header in JSON', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    const call = outcome(client.stub(TestService, { codec: 'json' }).add({ A: 1 }, options));
    const { head, body, serviceId, sequence, logId } = await server.requests.next();
    expect(head.toString()).toBe(
      '{"Service":"TestService","Method":"Add","CallType":"CT_TwoWay","Version":"v1.0","Timeout":1234,"Metadata":{"a":"b"}}',
    );
    expect(body.toString()).toBe('{"A":1,"B":0}');
    expect([serviceId, sequence & 1n, sequence < 2n ** 63n, logId >= 0n]).toEqual([
      1,
      1n,
      true,
      true,
    ]);
    client.destroy();
    expect(await call).toBe('UNAVAILABLE');
  });

  test('has all fields of its header in Protobuf', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    const call = outcome(client.stub(TestService, { codec: 'protobuf' }).add({ A: 1 }, options));
    const { head, body } = await server.requests.next();
    const expected = [
      textField(1, 'TestService'),
      textField(2, 'Add'),
      Buffer.from([0x18, 2]),
      textField(12, 'v1.0'),
      Buffer.from([0x50, 0xd2, 0x09, 0x5a, 6]),
      textField(1, 'a'),
      textField(2, 'b'),
    ];
    expect(head.toString('hex')).toBe(Buffer.concat(expected).toString('hex'));
    expect(body.toString('hex')).toBe('0801');
    client.destroy();
    expect(await call).toBe('UNAVAILABLE');
  });

  test('has no version, no timeout and no reply when the contract and the call have none', async () => {
    const Plain = contract('Plain', {
      ask: unary<number, number>({ timeout: Number.POSITIVE_INFINITY }),
      tell: oneway<number>(),
    });
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address, {
      timeout: Number.POSITIVE_INFINITY,
    });
    const calls = [
      outcome(client.stub(Plain).ask(1)),
      outcome(client.stub(Plain).tell(2)),
      outcome(client.stub(Plain).ask(3, { timeout: 5_000_000_000 })),
    ];
    const heads = (await server.requests.take(3)).map(({ head }) => head.toString());
    expect(heads).toEqual(
      ['CT_TwoWay', 'CT_OneWay', 'CT_TwoWay'].map(
        (type) =>
          `{"Service":"Plain","Method":"${type === 'CT_OneWay' ? 'tell' : 'ask'}","CallType":"${type}"}`,
      ),
    );
    client.destroy();
    expect(await Promise.all(calls)).toEqual(['UNAVAILABLE', 'ok', 'UNAVAILABLE']);
  });
});
