/**
 * The connection of a consumer to a node: an internal option of connect(), its checks, and an
 * internal method of the client.
 */
import { resolveClientOptions } from '../transport/client/client-options.js';
import { HAS_GIVEN_UP } from '../transport/client/open-sessions.js';
import { parseProxyUrl } from '../transport/proxies/proxy-url.js';
import { resolveSocketOptions } from '../transport/socket-options.js';
import type { CallObserver } from './calls/outgoing-request.js';
import { Router } from './contract/router.js';
import type { RpcCounters } from './metrics/statistics.js';
import { resolveRpcOptions } from './options.js';
import type { Call, RpcClient, RpcClientOptions } from './types.js';

/**
 * The key of the option. The consumer runs the interceptors once for each call, before its
 * attempts. So invoke() and stub() of a client with this option run none. The calls that the client
 * serves, and the calls of `context.channel`, run through them as in every client.
 */
export const CONSUMER_CONNECTION = Symbol('connection of a consumer');

export interface ConsumerConnection {
  /** The counters that all connections of the consumer share. */
  readonly counters: RpcCounters;
}

export { type CallObserver, HAS_GIVEN_UP };

/** The key of NodeConnection[SEND_OBSERVED]. */
export const SEND_OBSERVED = Symbol('send a call that a consumer observes');

/** The client that connect() returns, as a consumer uses it. */
export interface NodeConnection extends RpcClient {
  /** See InternalClient. */
  readonly [HAS_GIVEN_UP]: boolean;
  /**
   * As invoke(), without interceptors, for a call that does not stream. `observer` observes the
   * call, which costs less than callbacks of its promise.
   */
  [SEND_OBSERVED](call: Call, observer: CallObserver): Promise<unknown>;
}

/**
 * Throws BAD_OPTION for options that connect() rejects, whatever the address. A consumer connects
 * later, when no call of the program could throw the error.
 */
export function checkConnectionOptions(options: RpcClientOptions): void {
  resolveRpcOptions(options);
  resolveClientOptions(options);
  resolveSocketOptions(options.socket);
  if (options.proxy !== undefined) parseProxyUrl(options.proxy);
  new Router(options.services ?? []);
}
