/**
 * The names of the options of serve(), connect(), calls and stubs. The compiler holds each set to
 * its type.
 */
import { checkNames, type Names, type NamesOf } from '../core/options.js';
import {
  CLIENT_OPTION_NAMES,
  checkNestedNames,
  SERVER_OPTION_NAMES,
  SESSION_OPTION_NAMES,
} from '../transport/option-names.js';
import type {
  Call,
  CallOptions,
  RpcClientOptions,
  RpcOptions,
  RpcServerOptions,
  StubOptions,
} from './types.js';

const RPC_OPTION_NAMES = {
  timeout: true,
  heartbeatPeriod: true,
  heartbeatTimeout: true,
  maxPendingCalls: true,
  maxPendingBytes: true,
  streamWindow: true,
  maxStreams: true,
  maxStreamBytes: true,
  maxDecodedObjects: true,
  busyPoll: true,
  inheritContext: true,
  drainTimeout: true,
  interceptors: true,
  logger: true,
  session: true,
} satisfies NamesOf<RpcOptions>;

export const RPC_SERVER_NAMES = {
  introspection: true,
  ...RPC_OPTION_NAMES,
  ...SERVER_OPTION_NAMES,
} satisfies NamesOf<RpcServerOptions>;

export const RPC_CLIENT_NAMES = {
  services: true,
  onReady: true,
  onResponsive: true,
  ...RPC_OPTION_NAMES,
  ...CLIENT_OPTION_NAMES,
} satisfies NamesOf<RpcClientOptions>;

const CALL_OPTION_NAMES = {
  timeout: true,
  signal: true,
  metadata: true,
  parent: true,
  onMetadata: true,
} satisfies NamesOf<CallOptions>;

const STUB_OPTION_NAMES = { codec: true } satisfies NamesOf<StubOptions>;

const CHANGE_NAMES = { input: true, timeout: true, metadata: true, signal: true } satisfies NamesOf<
  Parameters<Call['with']>[0]
>;

const ELSEWHERE = {
  session: SESSION_OPTION_NAMES,
  'serve()': RPC_SERVER_NAMES,
  'connect()': RPC_CLIENT_NAMES,
};

/**
 * `of`: the function that takes the options. `more`: the names of its own that it takes besides.
 * Throws BAD_OPTION.
 */
export function checkRpcServerNames(
  options: RpcServerOptions,
  of = 'serve()',
  more: Names = {},
): void {
  checkNames(of, options, { ...more, ...RPC_SERVER_NAMES }, ELSEWHERE);
  checkBeneath(options);
}

/** As checkRpcServerNames(). */
export function checkRpcClientNames(
  options: RpcClientOptions,
  of = 'connect()',
  more: Names = {},
  known: Names = RPC_CLIENT_NAMES,
): void {
  checkNames(of, options, { ...more, ...known }, ELSEWHERE);
  checkBeneath(options);
}

function checkBeneath(options: RpcServerOptions & RpcClientOptions): void {
  checkNames('session', options?.session, SESSION_OPTION_NAMES, ELSEWHERE);
  checkNestedNames(options);
}

/** Throws BAD_OPTION. */
export function checkCallNames(options: CallOptions): void {
  // This runs once per call: comparing with constants takes a quarter of the time of looking names
  // up.
  for (const name in options) {
    const isKnown =
      name === 'timeout' ||
      name === 'signal' ||
      name === 'metadata' ||
      name === 'parent' ||
      name === 'onMetadata';
    if (!isKnown) return checkNames('a call', options, CALL_OPTION_NAMES);
  }
}

/** Throws BAD_OPTION. */
export function checkStubNames(options: StubOptions): void {
  checkNames('a stub', options, STUB_OPTION_NAMES);
}

/** Throws BAD_OPTION. */
export function checkChangeNames(changes: Parameters<Call['with']>[0]): void {
  // As in checkCallNames().
  for (const name in changes) {
    const isKnown =
      name === 'input' || name === 'timeout' || name === 'metadata' || name === 'signal';
    if (!isKnown) return checkNames('with()', changes, CHANGE_NAMES);
  }
}
