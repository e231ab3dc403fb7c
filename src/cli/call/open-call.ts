/** Finds the method that a command calls, and connects to a server that offers it. */
import type { CodecName, MethodKind, ServiceDescription } from '../../rpc/index.js';
import { UsageError } from '../failure.js';
import { addPair, parseChoice } from '../option-values.js';
import type { Output } from '../output/output.js';
import type { ConnectionOptions } from '../target/connection-options.js';
import { describeServer, isOtherProtocol } from '../target/introspection.js';
import { connectTo, connectToServer, type ServerConnection } from '../target/server-connection.js';
import { parseMethodName } from '../target/service-name.js';
import { parseTarget } from '../target/target.js';
import type { Terminal } from '../terminal.js';
import { type CallableMethod, describedKind, jsonMethod, METHOD_KINDS } from './callable-method.js';
import { protobufMethod, readDescriptorSet } from './descriptor-set.js';

/** What is called, and how. */
export interface CalledMethodOptions extends ConnectionOptions {
  readonly meta?: Readonly<Record<string, string>>;
  readonly codec?: CodecName;
  readonly proto?: string;
  readonly kind?: MethodKind;
  readonly node?: string;
  readonly group?: string;
  readonly serviceVersion?: string;
}

/** A part of commander's Command. */
interface OptionTarget {
  option(flags: string, description: string): unknown;
  option<T>(flags: string, description: string, parse: (text: string, before: T) => T): unknown;
}

/** Adds the options that say what is called, and how. */
export function addCallOptions(command: OptionTarget): void {
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
  options: CalledMethodOptions,
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
function describedByFile(name: string, options: CalledMethodOptions): CallableMethod | undefined {
  const { proto, serviceVersion = '', kind } = options;
  if (proto === undefined) return undefined;
  const { service, method } = parseMethodName(name);
  return protobufMethod(readDescriptorSet(proto), service, serviceVersion, method, kind);
}

async function methodOf(
  { address, node }: ServerConnection,
  name: string,
  options: CalledMethodOptions,
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
  } catch (error) {
    if (isOtherProtocol(error)) throw error;
    // The call itself reports what is wrong, such as a missing token.
    return undefined;
  } finally {
    client.destroy();
  }
}

/** A method, and the connection to a server that offers it. The caller destroys the connection. */
export interface OpenCall {
  readonly connection: ServerConnection;
  readonly method: CallableMethod;
}

/** Connects to a target, and finds the method. Rejects with UsageError and others. */
export async function openCall(
  target: string,
  name: string,
  options: CalledMethodOptions,
  terminal: Terminal,
  output: Output,
): Promise<OpenCall> {
  const described = describedByFile(name, options);
  const connection = await connectForCall(target, name, options, terminal, output);
  try {
    return {
      connection,
      method: described ?? (await methodOf(connection, name, options, terminal)),
    };
  } catch (error) {
    connection.client.destroy();
    throw error;
  }
}
