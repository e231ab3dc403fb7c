/**
 * The entry `getty-ts/web/rpc`: the client of the rpc layer for pages, services that a page offers
 * to its server, and servers at message ports. It imports no module of Node.js and no Protobuf
 * library.
 */
import { connectOver, type Dial } from '../rpc/client.js';
import { type Listen, serveOver } from '../rpc/server.js';
import type { RpcClient, RpcClientOptions, RpcOptions, RpcServer, Service } from '../rpc/types.js';
import type { PortAddress } from '../transport/types.js';
import { connect as dial, type WebAddress, type WebClientOptions } from './connect.js';
import { serve as listen, type WebServerOptions } from './serve.js';

export { contract } from '../rpc/contract/contract.js';
export * from '../rpc/portable.js';

/** The options of connect() in a page: the RpcClientOptions that a browser lets a page set. */
export type WebRpcClientOptions = Omit<
  RpcClientOptions,
  'tls' | 'socket' | 'udp' | 'websocket' | 'proxy' | 'rate'
> &
  WebClientOptions;

/**
 * Connects to an rpc server at `address`, `ws://host:port/path`, `wss://host:port/path`, or `{ port
 * }` with a Worker or a MessagePort. With an array it tries the addresses in turn. Resolves when
 * the first session is open.
 *
 * Rejects with BAD_ADDRESS, BAD_OPTION, CONNECT_FAILED or ABORTED_BY_CALLER. A browser does not
 * report why a connection failed.
 *
 * ```ts
 * const client = await connect('wss://example.org/rpc');
 * const greeting = await client.stub(Greeter).hello('world');
 * ```
 */
export function connect(
  address: WebAddress | readonly WebAddress[],
  options?: WebRpcClientOptions,
): Promise<RpcClient> {
  return connectOver(dial as Dial, address, options);
}

/** The options of serve() in a page: the RpcServerOptions that have a meaning at a message port. */
export type WebRpcServerOptions = RpcOptions & WebServerOptions;

/**
 * Serves `services`, made by implement(), at a message port: in a worker at `{ port: self }`, in a
 * page at `{ port: worker }`, in a frame at a MessagePort that the page has transferred to it.
 * Settles when it listens. Rejects with BAD_OPTION or LISTEN_FAILED.
 *
 * ```ts
 * await serve({ port: self }, [implement(Greeter, { hello: (name) => `Hello, ${name}!` })]);
 * ```
 */
export function serve(
  address: PortAddress,
  services: readonly Service[],
  options?: WebRpcServerOptions,
): Promise<RpcServer> {
  return serveOver(listen as Listen, address, services, options);
}
