/**
 * The rpc layer in a browser: contracts and stubs, connect(), and services that the page offers to
 * its server. It loads no module of Node.js, and no Protobuf.
 */
import { connectOver } from '../rpc/client.js';
import type { RpcClient, RpcClientOptions } from '../rpc/types.js';
import { connect as dial, type WebClientOptions } from './connect.js';

export { contract } from '../rpc/contract/contract.js';
export * from '../rpc/portable.js';

/** RpcClientOptions, without what a browser does not leave to the page. */
export type WebRpcClientOptions = Omit<RpcClientOptions, 'tls' | 'udp' | 'websocket'> &
  WebClientOptions;

/**
 * As connect() of `getty-ts/rpc`, over the browser's own WebSocket, to a server at `ws://` or
 * `wss://`. Rejects with BAD_ADDRESS, BAD_OPTION, or CONNECT_FAILED (a browser does not say why).
 */
export function connect(address: string, options?: WebRpcClientOptions): Promise<RpcClient> {
  return connectOver(dial, address, options);
}
