/** The endpoints of etcd, as a user writes them. */
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { expect, it } from 'vitest';
import { parseEndpoints } from '../../../src/registries/etcd/client/endpoints.js';
import { etcd } from '../../../src/registries/etcd/index.js';
import { rejection, thrown } from '../../fixtures/transports.js';

const IPV6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);

it.each(['http://[fe80::1%eth0]:2379', 'http://[fe80::1%25eth0]:2379/'])(
  'reads the zone of %s, and leaves it out of the origin',
  (text) => {
    expect(parseEndpoints(text, false)).toMatchObject([
      { host: 'fe80::1%eth0', port: 2379, isSecure: false, origin: 'http://[fe80::1]:2379' },
    ]);
  },
);

it.each([
  'http://me:secret@host:2379',
  'http://host:2379?token=secret',
  'http://me:sec/secret@host',
  'http://host:2379#secret',
])('refuses %s and does not repeat its secret', (text) => {
  const error = thrown(() => parseEndpoints(text, false));
  expect(error).toMatchObject({ code: 'BAD_OPTION', message: expect.stringContaining('***') });
  expect((error as Error).message).not.toContain('secret');
});

it.runIf(IPV6 && process.platform === 'linux')(
  'connects to a member at an address with a zone',
  async () => {
    const authorities: unknown[] = [];
    const server = createServer();
    server.on('stream', (stream, headers) => {
      authorities.push(headers[':authority']);
      stream.respond(
        {
          ':status': 200,
          'content-type': 'application/grpc',
          'grpc-status': '7',
          'grpc-message': 'permission denied',
        },
        { endStream: true },
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '::1', resolve));
    const { port } = server.address() as AddressInfo;
    const registry = etcd(`http://[::1%lo]:${port}`, { waitForRegistry: false });
    try {
      const node = {
        id: 'a',
        service: 'S',
        group: '',
        version: '',
        protocol: 'json',
        address: 'tcp://127.0.0.1:1',
        metadata: {},
      } as const;
      const error = await rejection(registry.register(node));
      expect(error).toMatchObject({
        code: 'REGISTRY_FAILED',
        message: expect.stringContaining('permission denied'),
      });
      expect(authorities[0]).toBe(`[::1]:${port}`);
    } finally {
      await registry[Symbol.asyncDispose]();
      await new Promise((resolve) => server.close(resolve));
    }
  },
);

it('permits no pushed streams', async () => {
  const permitted: boolean[] = [];
  const server = createServer();
  server.on('stream', (stream) => {
    permitted.push(stream.pushAllowed);
    const denied = { 'content-type': 'application/grpc', 'grpc-status': '7' };
    stream.respond({ ':status': 200, ...denied }, { endStream: true });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const registry = etcd(`http://127.0.0.1:${port}`, { waitForRegistry: false });
  try {
    await rejection(registry.list());
    expect(permitted[0]).toBe(false);
  } finally {
    await registry[Symbol.asyncDispose]();
    await new Promise((resolve) => server.close(resolve));
  }
});
