/** The rpc layer in a browser: contracts and stubs, connect(), and services that the page offers to its server. No module of Node.js is behind it. */
import { connectOver } from '../rpc/client.js';
import type { RpcClient, RpcClientOptions } from '../rpc/types.js';
import { connect as dial, type WebClientOptions } from './connect.js';

export {
  type ContractOptions,
  contract,
  type DescriptorOptions,
  implement,
  type MethodOptions,
  oneway,
  type SpecsOf,
  unary,
} from '../rpc/contract.js';
export { type RpcCode, RpcError, type RpcErrorDetail } from '../rpc/errors.js';
export { compose, RPC_DEFAULTS } from '../rpc/options.js';
export { makeStub } from '../rpc/stub.js';
export type {
  Call,
  Callback,
  CallContext,
  CallOptions,
  Channel,
  CodecName,
  Contract,
  Handlers,
  Interceptor,
  Invoke,
  MessageCodec,
  Metadata,
  Method,
  MethodKind,
  MethodSpec,
  MethodSpecs,
  RpcClient,
  RpcOptions,
  Service,
  Stub,
  StubMethod,
  StubOptions,
} from '../rpc/types.js';

/** RpcClientOptions, without what a browser does not leave to the page. */
export type WebRpcClientOptions = Omit<RpcClientOptions, 'tls' | 'udp' | 'websocket'> & WebClientOptions;

/**
 * As connect() of `getty/rpc`, over the browser's own WebSocket, to a server at `ws://` or `wss://`.
 * Rejects with BAD_ADDRESS, BAD_OPTION, or CONNECT_FAILED (a browser does not say why).
 */
export function connect(address: string, options?: WebRpcClientOptions): Promise<RpcClient> {
  return connectOver(dial, address, options);
}
