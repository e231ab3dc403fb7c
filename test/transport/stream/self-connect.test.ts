/**
 * A TCP client that redials a port of this machine may reach its own socket (simultaneous open):
 * that is no connection.
 */
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';
import { afterEach, expect, it, vi } from 'vitest';
import { connect, lines, serve } from '../../../src/transport/index.js';
import { CLIENT_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { turns } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

const SETUP = { codec: lines(), listener: { onMessage() {} } };

/** The system chooses the port of a client; here it chooses the one that the client dials. */
function forcePort(module: { connect: unknown }): void {
  const original = module.connect as (options: object) => net.Socket;
  vi.spyOn(module as { connect: typeof original }, 'connect').mockImplementation((options) =>
    original({ ...options, localPort: (options as { port: number }).port }),
  );
  syncBuiltinESMExports();
}

it.each(['tcp', 'ws', 'tls', 'wss'])('%s refuses a connection with itself', async (scheme) => {
  const server = await serve('tcp://127.0.0.1:0', SETUP);
  const { address } = server;
  await server.close();
  forcePort(scheme === 'tcp' || scheme === 'ws' ? net : tls);
  const options = {
    reconnect: false,
    connectTimeout: 20_000,
    ...(scheme.endsWith('s') && scheme !== 'ws' && { tls: CLIENT_TLS }),
  };
  const error = await rejection(connect(address.replace('tcp', scheme), SETUP, options));
  expect(error).toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining('leads back to itself'),
  });
  await turns(5);
});
