/** The ZooKeeper client without a server: invalid arguments, and operations that time out. */
import { describe, expect, it } from 'vitest';
import {
  ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freePort } from '../../fixtures/ports.js';
import { noTimersLeft } from '../../fixtures/timers.js';

const bytes = (text: string): Buffer => Buffer.from(text);

describe('the ZooKeeper client', () => {
  noLeaks();
  noTimersLeft();

  it('rejects operations without a server after their timeout, with the reason of the failed connection', async () => {
    const port = await freePort();
    await using client = new ZooKeeperClient(`127.0.0.1:${port}`, {
      operationTimeout: 200,
      initialDelay: 5,
    });
    await expect(client.exists('/')).rejects.toMatchObject({
      reason: 'OPERATION_TIMEOUT',
      cause: { code: 'CONNECT_FAILED' },
    });
    expect(client.state).toBe('away');
  });

  it('rejects invalid arguments', async () => {
    await using client = new ZooKeeperClient(`127.0.0.1:${await freePort()}`);
    for (const path of ['', 'a', '/a/', '//', '/a//b', '/./a', '/a/..', '/a\0', '/\ud800']) {
      await expect(client.getData(path), JSON.stringify(path)).rejects.toMatchObject({
        code: 'BAD_OPTION',
      });
    }
    for (const acl of ['nobody', [], [{}], [{ permissions: 32, scheme: 'world', id: 'anyone' }]]) {
      await expect(client.create('/a', bytes(''), { acl: acl as never })).rejects.toMatchObject({
        code: 'BAD_OPTION',
      });
    }
    for (const data of ['abc', undefined, 5, [1, 2], { length: 3 }] as never[])
      for (const call of [
        client.create('/a', data),
        client.setData('/a', data),
        client.multi([{ type: 'create', path: '/a', data }]),
        client.multi([{ type: 'setData', path: '/a', data }]),
      ])
        await expect(call).rejects.toMatchObject({ code: 'BAD_OPTION' });
    for (const version of [1.5, Number.NaN, -2, 2 ** 31, '1'] as never[])
      for (const call of [
        client.delete('/a', version),
        client.setData('/a', bytes(''), version),
        client.multi([{ type: 'check', path: '/a', version }]),
      ])
        await expect(call).rejects.toMatchObject({ code: 'BAD_OPTION' });
    const options: ZooKeeperClientOptions[] = [
      { sessionTimeout: 1 },
      { operationTimeout: Number.NaN },
      { maxPending: 0 },
      { maxRequestBytes: 1 },
      { credentials: 'secret' },
      { credentials: 1 as never },
      { onState: 1 as never },
      { tls: { ca: 'no such file' } },
    ];
    for (const given of options) {
      expect(() => new ZooKeeperClient('h:1', given)).toThrowError(
        expect.objectContaining({
          code: 'BAD_OPTION',
          message: expect.not.stringContaining('secret'),
        }),
      );
    }
    for (const hosts of [
      '',
      ',',
      'h:0',
      'h:65536',
      'h:x',
      'h/a//b',
      'a b:1',
      '::1',
      'user@h:1',
      'h?x=1',
      'h#x',
      undefined as never,
    ]) {
      expect(() => new ZooKeeperClient(hosts)).toThrowError(
        expect.objectContaining({ code: 'BAD_ADDRESS' }),
      );
    }
    for (const hosts of ['h', 'h:1', '[::1]:1, g', 'h:1,g:2/a/b', 'h:1/', 'h:1/a/'])
      expect(new ZooKeeperClient(hosts).state).toBe('connecting');
  });
});
