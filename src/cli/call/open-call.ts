/** Finds the method that a command calls, and connects to a server that offers it. */
import type { FileRegistry } from '@bufbuild/protobuf';
import { type CodecName, type MethodKind, RpcError } from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import { addPair, parseChoice } from '../option-values.js';
import type { Output } from '../output/output.js';
import type { ConnectionOptions } from '../target/connection-options.js';
import { DescriptorReader } from '../target/descriptors.js';
import { describeServer, isOtherProtocol } from '../target/introspection.js';
import { connectTo, connectToServer, type ServerConnection } from '../target/server-connection.js';
import { parseMethodName } from '../target/service-name.js';
import { parseTarget } from '../target/target.js';
import type { Terminal } from '../terminal.js';
import {
  type CallableMethod,
  type FoundMethod,
  findMethod,
  jsonMethod,
  METHOD_KINDS,
} from './callable-method.js';
import { describedMethod } from './described-method.js';
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
  command.option(
    '--codec <codec>',
    'json or protobuf (default: protobuf with --proto, else json if the server has it)',
    (text) => parseChoice<CodecName>('--codec', text, ['json', 'protobuf']),
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
  const { proto, kind, node, group, serviceVersion: version } = options;
  // With --kind the server is not asked, so its descriptors are unknown.
  const codecOfOptions = proto !== undefined ? 'protobuf' : kind !== undefined ? 'json' : undefined;
  const { codec = codecOfOptions } = options;
  return connectToServer(
    parseTarget(target, options),
    { service, version, group, codec, preferredCodec: 'json', node },
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
  const { kind, codec } = options;
  if (kind !== undefined && codec !== 'protobuf') return jsonMethod(service, version, method, kind);
  const known = await askServer(address, service, version, method, options, terminal);
  if (known === undefined) {
    if (codec !== 'protobuf') return jsonMethod(service, version, method, 'unary');
    throw new AdvisedError(
      new RpcError('UNIMPLEMENTED', `the server does not tell the descriptors of ${service}`),
      'give them with --proto FILE.binpb',
    );
  }
  if (known.isJson) {
    const { kind: knownKind, input } = known.found.method;
    return jsonMethod(service, version, method, knownKind, input);
  }
  return describedMethod(known.found, version, known.registry);
}

interface KnownMethod {
  readonly found: FoundMethod;
  /** Whether to call it in JSON. */
  readonly isJson: boolean;
  /** The descriptors for a call in Protobuf, if the server tells them. */
  readonly registry: FileRegistry | undefined;
}

/** The method that a server describes; undefined if it describes none. */
async function askServer(
  address: string,
  service: string,
  version: string,
  method: string,
  options: CalledMethodOptions,
  terminal: Terminal,
): Promise<KnownMethod | undefined> {
  // On a connection of its own, because a server of Go ends the connection of an unknown service.
  const client = await connectTo(address, options, terminal);
  try {
    const services = await describeServer(client, terminal).catch((error: unknown) => {
      if (isOtherProtocol(error)) throw error;
      // The call itself reports what is wrong, such as a missing token.
      return undefined;
    });
    if (services === undefined) return undefined;
    const found = findMethod(services, service, version, method);
    const isJson = options.codec !== 'protobuf' && found.service.codecs.includes('json');
    const registry = isJson
      ? undefined
      : await new DescriptorReader(client, terminal).read(service);
    return { found, isJson, registry };
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
