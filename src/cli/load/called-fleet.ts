/** Who is called by a load: one server, or all nodes of a registry as a consumer calls them. */
import { consume, failfast } from '../../micro/index.js';
import { type CallOptions, connect } from '../../rpc/index.js';
import { readMessage, type Warn } from '../call/call-input.js';
import type { CallableMethod } from '../call/callable-method.js';
import type { CalledMethodOptions, OpenCall } from '../call/open-call.js';
import { UsageError } from '../failure.js';
import { clientOptions, DEFAULT_TIMEOUT } from '../target/connection-options.js';
import { openQuietRegistry } from '../target/published-nodes.js';
import type { Target } from '../target/target.js';
import type { Terminal } from '../terminal.js';

type UnaryMethod = (input: unknown, options: CallOptions) => Promise<unknown>;

export interface FleetOptions extends CalledMethodOptions {
  /** The connections to each server. Default: 1. */
  readonly connections?: number;
}

export interface CalledFleet extends AsyncDisposable {
  /** Makes one call. */
  call(): Promise<unknown>;
}

/** Prepares the calls. Throws UsageError for a method that streams. */
export async function openFleet(
  target: Target,
  { connection, method }: OpenCall,
  json: string | undefined,
  options: FleetOptions,
  terminal: Terminal,
  warn: Warn,
): Promise<CalledFleet> {
  const { kind } = method;
  if (kind !== 'unary' && kind !== 'oneway' && kind !== 'noReply')
    throw new UsageError(`SERVICE/METHOD: got a method of the kind ${kind}, expected no stream`);
  const input = await readMessage(method, json, terminal, warn);
  const { address } = connection;
  if (target.kind === 'registry' && options.node === undefined)
    return openConsumer(target.url, address, method, input, options, terminal);
  // Unlike that of one call, this client connects again when the server has restarted.
  const client = await connect(address, {
    ...clientOptions(address, options, terminal.environment),
    reconnect: true,
    connections: options.connections ?? 1,
    signal: terminal.signal,
  });
  const stub = client.stub(method.contract, { codec: options.codec });
  return {
    call: callOf(stub, method, input, options),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

async function openConsumer(
  url: string,
  address: string,
  method: CallableMethod,
  input: unknown,
  options: FleetOptions,
  terminal: Terminal,
): Promise<CalledFleet> {
  const { timeout, interceptors, drainTimeout, tls } = clientOptions(
    address,
    options,
    terminal.environment,
  );
  const registry = await openQuietRegistry(url);
  // A failed call is a result, and no reason to call again.
  const strategy = failfast();
  const { group } = options;
  const consumer = consume({
    registry,
    strategy,
    timeout,
    interceptors,
    drainTimeout,
    connections: options.connections ?? 1,
    ...(group !== undefined && { group }),
    ...(tls !== undefined && { tls }),
  });
  const close = async (): Promise<void> => {
    await consumer.close();
    await registry[Symbol.asyncDispose]();
  };
  const codec = options.codec ?? method.contract.codec;
  const stub = consumer.stub(method.contract, { codec });
  try {
    await consumer.resolver(method.contract, { codec }).ready({
      timeout: timeout ?? DEFAULT_TIMEOUT,
      signal: terminal.signal,
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { call: callOf(stub, method, input, options), [Symbol.asyncDispose]: close };
}

function callOf(
  stub: object,
  method: CallableMethod,
  input: unknown,
  { timeout, meta }: CalledMethodOptions,
): () => Promise<unknown> {
  const send = Reflect.get(stub, method.localName) as UnaryMethod;
  const callOptions = { timeout, metadata: meta };
  return () => send(input, callOptions);
}
