/** `getty call`: calls one method, in JSON or with the descriptors of Protobuf. */
import { codeOf } from '../../core/errors.js';
import type {
  CallOptions,
  CodecName,
  MethodKind,
  Replies,
  ServiceDescription,
} from '../../rpc/index.js';
import { checkArgument, MessageLines, readMessage } from '../call/call-input.js';
import {
  type CallableMethod,
  describedKind,
  jsonMethod,
  METHOD_KINDS,
} from '../call/callable-method.js';
import { protobufMethod, readDescriptorSet } from '../call/descriptor-set.js';
import { type DefineCommand, finish, type JsonOption, outputOf } from '../command.js';
import { AdvisedError, UsageError } from '../failure.js';
import { addPair, parseChoice } from '../option-values.js';
import type { Output } from '../output/output.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { describeServer } from '../target/introspection.js';
import { connectTo, connectToServer, type ServerConnection } from '../target/server-connection.js';
import { parseMethodName } from '../target/service-name.js';
import { parseTarget } from '../target/target.js';
import type { Terminal } from '../terminal.js';

interface CallCommandOptions extends ConnectionOptions, JsonOption {
  readonly meta?: Readonly<Record<string, string>>;
  readonly codec?: CodecName;
  readonly proto?: string;
  readonly kind?: MethodKind;
  readonly node?: string;
  readonly group?: string;
  readonly serviceVersion?: string;
}

const LOST =
  'the server ended the connection; a server of Go does so if it does not know the service or the ' +
  'method, or cannot read the argument';

export const defineCall: DefineCommand = (program, terminal) => {
  const command = program
    .command('call')
    .summary('call a method, and write its reply as JSON')
    .description(
      'Call a method, and write its reply as JSON. Each reply of a stream is one line. A client\n' +
        'stream sends each line of standard input, or JSON as its only message.',
    )
    .argument('<target>', 'an address, or a registry, of which one node is called')
    .argument('<service/method>', 'such as Greeter/hello')
    .argument('[json]', 'the argument of the method; -: standard input');
  addCallOptions(command);
  addConnectionOptions(command);
  command.action(
    async (target: string, name: string, json: string | undefined, options: CallCommandOptions) => {
      const output = outputOf(terminal, options);
      checkArgument(json);
      const described = describedByFile(name, options);
      const connection = await connectForCall(target, name, options, terminal, output);
      try {
        const method = described ?? (await methodOf(connection, name, options, terminal));
        await call(connection, method, json, options, terminal, output);
        await connection.client.close();
      } finally {
        connection.client.destroy();
      }
    },
  );
  finish(
    command,
    `getty call tcp://127.0.0.1:8849 Greeter/hello '"world"'`,
    `getty call file:///srv/getty/registry Greeter/hello '"world"' --timeout 2s --json`,
  );
};

/** Adds the options that say what is called, and how. */
function addCallOptions(command: Pick<ReturnType<typeof finish>, 'option'>): void {
  command.option(
    '--meta <key=value>',
    'metadata of the call; can be given several times',
    (text: string, before: Record<string, string> = {}) => addPair('--meta', text, before),
  );
  command.option('--codec <codec>', 'json or protobuf (default: protobuf with --proto)', (text) =>
    parseChoice<CodecName>('--codec', text, ['json', 'protobuf']),
  );
  command.option('--proto <file>', 'a descriptor set: `buf build -o`, `protoc -o`');
  command.option(
    '--kind <kind>',
    `${METHOD_KINDS.join(', ')} (default: the server is asked, else unary)`,
    (text) => parseChoice('--kind', text, METHOD_KINDS),
  );
  command.option('--node <node>', 'the id or address of the node of a registry to call');
  command.option('--group <group>', 'call a node of this group of a registry');
  command.option('--service-version <version>', 'the version of the service (default: any)');
}

function connectForCall(
  target: string,
  name: string,
  options: CallCommandOptions,
  terminal: Terminal,
  output: Output,
): Promise<ServerConnection> {
  const { service } = parseMethodName(name);
  const { proto, codec = proto === undefined ? 'json' : 'protobuf' } = options;
  if (codec === 'protobuf' && proto === undefined)
    throw new UsageError('--codec: protobuf needs the descriptors of the service: --proto FILE');
  const { node, group, serviceVersion: version } = options;
  return connectToServer(
    parseTarget(target),
    { service, version, group, codec, node },
    options,
    terminal,
    output,
  );
}

/** The method in the file of --proto. Throws UsageError. */
function describedByFile(name: string, options: CallCommandOptions): CallableMethod | undefined {
  const { proto, serviceVersion = '', kind } = options;
  if (proto === undefined) return undefined;
  const { service, method } = parseMethodName(name);
  return protobufMethod(readDescriptorSet(proto), service, serviceVersion, method, kind);
}

async function methodOf(
  { address, node }: ServerConnection,
  name: string,
  options: CallCommandOptions,
  terminal: Terminal,
): Promise<CallableMethod> {
  const { service, method } = parseMethodName(name);
  const version = options.serviceVersion ?? node?.version ?? '';
  if (options.kind !== undefined) return jsonMethod(service, version, method, options.kind);
  const services = await knownServices(address, options, terminal);
  const kind = services === undefined ? 'unary' : describedKind(services, service, version, method);
  return jsonMethod(service, version, method, kind);
}

/** The services of a server; undefined if it does not say them. */
async function knownServices(
  address: string,
  options: ConnectionOptions,
  terminal: Terminal,
): Promise<ServiceDescription[] | undefined> {
  // On a connection of its own, because a server of Go ends the connection of an unknown service.
  const client = await connectTo(address, options, terminal);
  try {
    return await describeServer(client, terminal);
  } catch {
    // The call itself reports what is wrong, such as a missing token.
    return undefined;
  } finally {
    client.destroy();
  }
}

type AnyMethod = (input: unknown, options: CallOptions) => Promise<unknown> | Replies<unknown>;

async function call(
  { client }: ServerConnection,
  method: CallableMethod,
  json: string | undefined,
  options: CallCommandOptions,
  terminal: Terminal,
  output: Output,
): Promise<void> {
  const stub = client.stub(method.contract, { codec: options.codec });
  const send = Reflect.get(stub, method.localName) as AnyMethod;
  const { kind } = method;
  const callOptions = {
    signal: terminal.signal,
    timeout: options.timeout,
    metadata: options.meta,
  };
  const isClientStream = kind === 'clientStream' || kind === 'duplex';
  const lines = new MessageLines(method, json, terminal);
  const input = isClientStream ? lines : await readMessage(method, json, terminal);
  try {
    const answer = send(input, callOptions);
    if (Symbol.asyncIterator in answer) {
      for await (const reply of answer) await output.jsonLine(method.decode(reply));
      return;
    }
    const reply = method.decode(await answer);
    if (kind === 'oneway') output.progress('sent; the server gives no answer');
    else if (kind === 'noReply' || (reply === undefined && !output.isJson))
      output.progress('done; the method has no reply');
    else await output.jsonValue(reply);
  } catch (error) {
    if (lines.failure !== undefined) throw lines.failure;
    throw codeOf(error) === 'UNAVAILABLE' && !isExtended(client)
      ? new AdvisedError(error, LOST)
      : error;
  }
}

/** Whether the server is known to run getty for TypeScript, which keeps the connection. */
function isExtended({ channels }: ServerConnection['client']): boolean {
  return [...channels].some(({ extended }) => extended === true);
}
