/** A call that the page makes through the console. */
import { codeOf, messageOf } from '../../../core/errors.js';
import { linkSignals } from '../../../core/signals.js';
import {
  type CallOptions,
  type CodecName,
  type Metadata,
  type Replies,
  type RpcClient,
  RpcError,
} from '../../../rpc/index.js';
import { type CallableMethod, jsonMethod, METHOD_KINDS } from '../../call/callable-method.js';
import { protobufMethod } from '../../call/descriptor-set.js';
import { MAX_MESSAGE, printable } from '../../output/printable.js';
import type { ConnectionOptions } from '../../target/connection-options.js';
import { DescriptorReader } from '../../target/descriptors.js';
import type { IntrospectionSettings } from '../../target/introspection.js';
import { connectTo } from '../../target/server-connection.js';
import type { Terminal } from '../../terminal.js';
import type { CallInput, CallOutput, CallRequest } from '../types.js';

/** Characters of one reply that the page gets. */
const MAX_REPLY = 64 * 1024;
/** A reply above these limits is an error of the call. */
const REPLY_LIMITS = { session: { maxMessageBytes: 2 ** 22 }, maxDecodedObjects: 200_000 };
/** The most entries of the metadata of a reply that the page gets. */
const MAX_METADATA = 50;
/** Characters of one value of this metadata that the page gets. */
const MAX_METADATA_VALUE = 500;

type AnyMethod = (input: unknown, options: CallOptions) => Promise<unknown> | Replies<unknown>;

/** The messages of the argument, which follow the request. The page sends each as JSON. */
async function* messagesOf(
  input: AsyncIterator<CallInput>,
  method: CallableMethod,
): AsyncGenerator<unknown, void> {
  for (;;) {
    const { done, value } = await input.next();
    if (done === true) return;
    if (!('message' in value) || typeof value.message !== 'string')
      throw new RpcError('INVALID_ARGUMENT', 'after its request a call sends messages only');
    yield method.encode(parse(value.message));
  }
}

function parse(json: string): unknown {
  if (json.trim() === '') return undefined;
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new RpcError('INVALID_ARGUMENT', `the argument is no JSON: ${messageOf(error)}`);
  }
}

/** The first message of a call. Throws INVALID_ARGUMENT. */
export async function readRequest(input: AsyncIterator<CallInput>): Promise<CallRequest> {
  const { done, value } = await input.next();
  const open = done === true || !('open' in value) ? undefined : value.open;
  const isValid =
    typeof open === 'object' &&
    open !== null &&
    [open.node, open.service, open.version, open.method, open.codec].every(
      (text) => typeof text === 'string',
    ) &&
    METHOD_KINDS.includes(open.kind) &&
    (open.token === undefined || typeof open.token === 'string') &&
    (open.timeout === undefined || (typeof open.timeout === 'number' && open.timeout >= 1));
  if (!isValid)
    throw new RpcError(
      'INVALID_ARGUMENT',
      'a call begins with a request: its node, its method and valid options',
    );
  return open;
}

/** Calls the node at `address`. Yields its replies, and then the end of the call. Never rejects. */
export async function* consoleCall(
  address: string,
  request: CallRequest,
  input: AsyncIterator<CallInput>,
  options: ConnectionOptions,
  terminal: Terminal,
  callerSignal: AbortSignal,
): AsyncGenerator<CallOutput, void> {
  const { signal, release } = linkSignals(terminal.signal, callerSignal);
  let metadata: Metadata = {};
  let start = performance.now();
  const end = (code: string, message: string): CallOutput => ({
    type: 'end',
    code,
    message: printable(message, MAX_MESSAGE),
    duration: performance.now() - start,
    metadata: shortened(metadata),
  });
  const token = request.token === undefined || request.token === '' ? options.token : request.token;
  let client: RpcClient | undefined;
  try {
    client = await connectTo(address, { ...options, token }, { ...terminal, signal }, REPLY_LIMITS);
    const method = await methodOf(client, request, { signal });
    const stub = client.stub(method.contract, { codec: codecOf(request) });
    const send = Reflect.get(stub, method.localName) as AnyMethod;
    const isClientStream = request.kind === 'clientStream' || request.kind === 'duplex';
    const messages = messagesOf(input, method);
    const argument = isClientStream ? messages : ((await messages.next()).value ?? undefined);
    start = performance.now();
    const answer = send(argument, {
      signal,
      timeout: request.timeout,
      metadata: request.metadata,
      onMetadata: (received) => {
        metadata = received;
      },
    });
    if (Symbol.asyncIterator in answer) {
      for await (const reply of answer) yield replyOf(method.decode(reply));
    } else {
      const reply = method.decode(await answer);
      if (request.kind !== 'oneway' && request.kind !== 'noReply') yield replyOf(reply);
    }
    yield end('OK', '');
  } catch (error) {
    if (error instanceof RpcError) metadata = { ...metadata, ...error.metadata };
    yield end(codeOf(error) ?? 'UNKNOWN', messageOf(error));
  } finally {
    release();
    client?.destroy();
  }
}

const codecOf = ({ codec }: CallRequest): CodecName => (codec === 'protobuf' ? 'protobuf' : 'json');

async function methodOf(
  client: RpcClient,
  request: CallRequest,
  settings: IntrospectionSettings,
): Promise<CallableMethod> {
  const { service, version, method, kind } = request;
  if (codecOf(request) === 'json') return jsonMethod(service, version, method, kind);
  const registry = await new DescriptorReader(client, settings).read(service);
  if (registry !== undefined) return protobufMethod(registry, service, version, method, kind);
  throw new RpcError(
    'UNIMPLEMENTED',
    'the node offers this service in Protobuf only, and does not give its descriptors',
  );
}

function replyOf(value: unknown): CallOutput {
  const json = JSON.stringify(value, undefined, 2) ?? '';
  return {
    type: 'reply',
    json: json.slice(0, MAX_REPLY),
    cut: Math.max(0, json.length - MAX_REPLY),
  };
}

function shortened(metadata: Metadata): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata)
      .slice(0, MAX_METADATA)
      .map(([key, value]) => [printable(key), printable(value, MAX_METADATA_VALUE)]),
  );
}
