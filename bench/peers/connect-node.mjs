// @ts-check
/** gRPC over HTTP/2 by Connect, with the same Protobuf library as getty and the grpc-js peer. */
import { createServer } from 'node:http2';
import { createClient } from '@connectrpc/connect';
import {
  connectNodeAdapter,
  createGrpcTransport,
  Http2SessionManager,
} from '@connectrpc/connect-node';
import { answer, TestService, TIMEOUT } from '../message.mjs';

export async function serve() {
  const server = createServer(
    connectNodeAdapter({ routes: (router) => router.service(TestService, { test: answer }) }),
  );
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { address: `http://127.0.0.1:${port}`, close: () => server.close() };
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(baseUrl) {
  const sessionManager = new Http2SessionManager(baseUrl);
  const client = createClient(TestService, createGrpcTransport({ baseUrl, sessionManager }));
  await sessionManager.connect();
  return {
    call: (request) => client.test(request, { timeoutMs: TIMEOUT }),
    close: () => sessionManager.abort(),
  };
}
