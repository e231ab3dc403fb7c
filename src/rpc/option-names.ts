/**
 * The names of the options of serve(), connect(), calls and stubs. The compiler compares each list
 * with its type.
 */
import { checkNames, checkObject, type Names, type NamesOf } from '../core/options.js';
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

export const RPC_SERVER_OPTION_NAMES = {
  introspection: true,
  admin: true,
  maxConnectionAge: true,
  maxConnectionAgeGrace: true,
  ...RPC_OPTION_NAMES,
  ...SERVER_OPTION_NAMES,
} satisfies NamesOf<RpcServerOptions>;

export const RPC_CLIENT_OPTION_NAMES = {
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

const CALL_CHANGE_NAMES = {
  input: true,
  timeout: true,
  metadata: true,
  signal: true,
} satisfies NamesOf<Parameters<Call['with']>[0]>;

/** Where an option that is given at the wrong place belongs, for the message of BAD_OPTION. */
const OTHER_PLACES = {
  session: SESSION_OPTION_NAMES,
  'serve()': RPC_SERVER_OPTION_NAMES,
  'connect()': RPC_CLIENT_OPTION_NAMES,
  // CONTRACT_NAMES, which this file cannot import: that would be a cycle.
  'contract()': { version: true },
} satisfies Readonly<Record<string, Names>>;

/**
 * Checks the names of RpcServerOptions, and of the options within them. `functionName`: the
 * function that takes the options. `ownNames`: the names of its further options. Throws BAD_OPTION.
 */
export function checkRpcServerNames(
  options: RpcServerOptions,
  functionName = 'serve()',
  ownNames: Names = {},
): void {
  checkNames(functionName, options, { ...ownNames, ...RPC_SERVER_OPTION_NAMES }, OTHER_PLACES);
  checkNamesWithin(options);
}

/**
 * As checkRpcServerNames(), for RpcClientOptions. `clientNames`: the names of
 * RpcClientOptions that the function takes.
 */
export function checkRpcClientNames(
  options: RpcClientOptions,
  functionName = 'connect()',
  ownNames: Names = {},
  clientNames: Names = RPC_CLIENT_OPTION_NAMES,
): void {
  checkNames(functionName, options, { ...ownNames, ...clientNames }, OTHER_PLACES);
  checkNamesWithin(options);
}

function checkNamesWithin(options: RpcServerOptions & RpcClientOptions): void {
  checkNames('session', options?.session, SESSION_OPTION_NAMES, OTHER_PLACES);
  checkNestedNames(options);
}

/** Checks the names of CallOptions. Throws BAD_OPTION. */
export function checkCallNames(options: CallOptions): void {
  // This runs for each call. Comparisons with constants take a quarter of the time of lookups.
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

/** Throws BAD_OPTION for options of a call that cannot be read. */
export function checkReadableCall(options: CallOptions | undefined): void {
  checkNames('a call', options, CALL_OPTION_NAMES);
}

/** Checks the names of StubOptions. Throws BAD_OPTION. */
export function checkStubNames(options: StubOptions): void {
  checkNames('a stub', options, STUB_OPTION_NAMES);
}

/** Checks the names of what Call.with() changes. Throws BAD_OPTION. */
export function checkChangeNames(changes: Parameters<Call['with']>[0]): void {
  if (typeof changes !== 'object' || changes === null) checkObject('options of with()', changes);
  // As in checkCallNames().
  for (const name in changes) {
    const isKnown =
      name === 'input' || name === 'timeout' || name === 'metadata' || name === 'signal';
    if (!isKnown) return checkNames('with()', changes, CALL_CHANGE_NAMES);
  }
}
