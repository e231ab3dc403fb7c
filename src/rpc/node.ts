/** serve() and connect() on Node.js. */
import { connect as dial, serve as listen } from '../transport/node.js';
import { connectOver } from './client.js';
import { serveOver } from './server.js';
import type { RpcClient, RpcClientOptions, RpcServer, RpcServerOptions, Service } from './types.js';

/**
 * Serve `services` (made by implement()) at `address`.
 * Rejects with BAD_ADDRESS, BAD_OPTION, or LISTEN_FAILED.
 */
export function serve(address: string, services: readonly Service[], options?: RpcServerOptions): Promise<RpcServer> {
  return serveOver(listen, address, services, options);
}

/**
 * Connect to an rpc server at `address`. Settles when the first session is open.
 * Rejects with BAD_ADDRESS, BAD_OPTION, or CONNECT_FAILED and its cause.
 */
export function connect(address: string, options?: RpcClientOptions): Promise<RpcClient> {
  return connectOver(dial, address, options);
}
