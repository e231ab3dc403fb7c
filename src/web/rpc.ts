/**
 * The entry `getty-ts/web/rpc`: the client of the rpc layer for pages, and services that a page
 * offers to its server. It imports no module of Node.js and no Protobuf library.
 */
import { connectOver } from '../rpc/client.js';
import type { RpcClient, RpcClientOptions } from '../rpc/types.js';
import { connect as dial, type WebClientOptions } from './connect.js';

export { contract } from '../rpc/contract/contract.js';
export * from '../rpc/portable.js';

/** The options of connect() in a page: the RpcClientOptions that a browser lets a page set. */
export type WebRpcClientOptions = Omit<
  RpcClientOptions,
  'tls' | 'socket' | 'udp' | 'websocket' | 'proxy' | 'rate'
> &
  WebClientOptions;

/**
 * Connects to an rpc server at `address`, `ws://host:port/path` or `wss://host:port/path`; with
 * an array it tries the addresses in turn. Resolves when the first session is open.
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
  address: string | readonly string[],
  options?: WebRpcClientOptions,
): Promise<RpcClient> {
  return connectOver(dial, address, options);
}
