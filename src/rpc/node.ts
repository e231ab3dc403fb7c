/** serve() and connect() on Node.js. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { captureAsyncContext } from '../core/node-async-context.js';
import { connect as dial, serve as listen } from '../transport/node.js';
import { setCallStorage } from './calls/inherited-call.js';
import { connectOver } from './client.js';
import { serveOver } from './server.js';
import type { RpcClient, RpcClientOptions, RpcServer, RpcServerOptions, Service } from './types.js';

/**
 * Serve `services` (made by implement()) at `address`.
 * Rejects with BAD_ADDRESS, BAD_OPTION, or LISTEN_FAILED.
 */
export function serve(
  address: string,
  services: readonly Service[],
  options?: RpcServerOptions,
): Promise<RpcServer> {
  if (options?.inheritContext === true) setCallStorage(new AsyncLocalStorage());
  return serveOver(listen, address, services, options, captureAsyncContext());
}

/**
 * Connect to an rpc server at `address`. Settles when the first session is open.
 * Rejects with BAD_ADDRESS, BAD_OPTION, or CONNECT_FAILED and its cause.
 */
export function connect(address: string, options?: RpcClientOptions): Promise<RpcClient> {
  if (options?.inheritContext === true) setCallStorage(new AsyncLocalStorage());
  return connectOver(dial, address, options, captureAsyncContext());
}
