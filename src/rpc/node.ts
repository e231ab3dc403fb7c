/** serve() and connect() over the transports of Node.js. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { captureAsyncContext } from '../core/node-async-context.js';
import { connect as dial, serve as listen } from '../transport/node.js';
import type { ClientAddress, ServerAddress } from '../transport/types.js';
import { checkAdminProtection } from './admin/admin-protection.js';
import { setCallStorage } from './calls/inherited-call.js';
import { connectOver } from './client.js';
import { OperatorServices } from './operator-services.js';
import { type MakeOperatorServices, serveOver } from './server.js';
import type {
  RpcClient,
  RpcClientOptions,
  RpcOptions,
  RpcServer,
  RpcServerOptions,
  Service,
} from './types.js';

const makeOperatorServices: MakeOperatorServices = (operated, address, isAdmin, interceptors) => {
  if (isAdmin) checkAdminProtection(address, interceptors);
  return new OperatorServices(operated);
};

/**
 * Serve `services`, made by implement(), at `address`, or with `{ server, path }` at a path of an
 * HTTP server of yours, `{ port }` at a message port, `{ stdio }` at a process, or at all addresses
 * of an array; see serve() of the transport. Resolves when the server listens, on an HTTP server at
 * once. Rejects with BAD_ADDRESS, BAD_OPTION or LISTEN_FAILED.
 *
 * ```ts
 * const server = await serve('tcp://127.0.0.1:0', [
 *   implement(Greeter, { hello: (name) => `Hello, ${name}!` }),
 * ]);
 * console.log(server.address);
 * ```
 */
export function serve(
  address: ServerAddress | readonly ServerAddress[],
  services: readonly Service[],
  options?: RpcServerOptions,
): Promise<RpcServer> {
  enableInheritance(options);
  return serveOver(listen, address, services, options, captureAsyncContext(), makeOperatorServices);
}

/**
 * Connect to the rpc server at `address`, a text, `{ port }` or `{ stdio }`. With an array the
 * client tries the addresses in turn until one has a session, see connect() of the transport. All
 * must lead to servers with the same services. To divide calls among several servers use consume()
 * of `getty-ts/micro`, with the registry of `getty-ts/static`. Resolves when the first session is
 * open. Rejects with BAD_ADDRESS, BAD_OPTION, or CONNECT_FAILED and its cause.
 *
 * ```ts
 * const client = await connect('tcp://127.0.0.1:7000');
 * console.log(await client.stub(Greeter).hello('world'));
 * ```
 */
export function connect(
  address: ClientAddress | readonly ClientAddress[],
  options?: RpcClientOptions,
): Promise<RpcClient> {
  enableInheritance(options);
  return connectOver(dial, address, options, captureAsyncContext());
}

function enableInheritance(options: RpcOptions | undefined): void {
  try {
    if (options?.inheritContext === true) setCallStorage(new AsyncLocalStorage());
  } catch {
    // serveOver() and connectOver() refuse options that cannot be read.
  }
}
