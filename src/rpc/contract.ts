/** Contracts: a service's name, version and methods, written by hand or taken from a Protobuf descriptor. */
import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { badOption } from '../options.js';
import { json, protobufBody, protobufJsonBody } from './body.js';
import { checkTimeout } from './call.js';
import { requestTemplate } from './request.js';
import type { CodecName, Contract, Handler, Handlers, Method, MethodKind, MethodSpec, MethodSpecs, Service } from './types.js';

const METHOD_KINDS: readonly MethodKind[] = ['unary', 'oneway', 'noReply', 'serverStream', 'clientStream', 'duplex'];

export interface MethodOptions {
  /** True: calling twice does what calling once does, so a call whose fate is unknown may be tried again. Default: false. */
  idempotent?: boolean;
  /** Milliseconds; default: the client's. */
  timeout?: number;
}

export interface StreamOptions {
  /** Milliseconds for the whole of the stream; default: none. */
  timeout?: number;
}

function specOf<Kind extends MethodKind>(kind: Kind, { idempotent = false, timeout }: MethodOptions) {
  return { kind, idempotent, timeout };
}

/** A method with one argument and one reply. */
export function unary<Input, Output>(options: MethodOptions = {}): MethodSpec<Input, Output, Input, Output, 'unary'> {
  return specOf('unary', options);
}

/** A method without a reply: the call settles when it is queued, and nobody learns what became of it. */
export function oneway<Input>(options: Pick<MethodOptions, 'idempotent'> = {}): MethodSpec<Input, void, Input, void, 'oneway'> {
  return specOf('oneway', options);
}

/** A method whose caller learns that it was handled, and no more: neither a value nor, in Go's protocol, an error. */
export function noReply<Input>(options: MethodOptions = {}): MethodSpec<Input, void, Input, void, 'noReply'> {
  return specOf('noReply', options);
}

/** A method with one argument and a stream of replies. Between TypeScript peers only, as all streams. */
export function serverStream<Input, Output>(options: StreamOptions = {}): MethodSpec<Input, Output, Input, Output, 'serverStream'> {
  return specOf('serverStream', options);
}

/** A method with a stream of arguments and one reply. */
export function clientStream<Input, Output>(options: StreamOptions = {}): MethodSpec<Input, Output, Input, Output, 'clientStream'> {
  return specOf('clientStream', options);
}

/** A method with a stream of arguments and a stream of replies, each at its own pace. */
export function duplex<Input, Output>(options: StreamOptions = {}): MethodSpec<Input, Output, Input, Output, 'duplex'> {
  return specOf('duplex', options);
}

export interface ContractOptions {
  /** Callers and services of different versions do not meet. Default: none, which meets any. */
  version?: string;
}

export interface DescriptorOptions extends ContractOptions {
  /** The service's name on the wire. Default: that of the descriptor, with its package. */
  name?: string;
  /** Methods, by their names in the .proto file, that want no reply: oneway() and noReply(). */
  oneway?: readonly string[];
  noReply?: readonly string[];
}

/** By what a descriptor calls them. */
const KINDS = {
  unary: 'unary',
  server_streaming: 'serverStream',
  client_streaming: 'clientStream',
  bidi_streaming: 'duplex',
} as const;

type SpecOf<M> = M extends { methodKind: infer K extends keyof typeof KINDS; input: infer I extends DescMessage; output: infer O extends DescMessage }
  ? MethodSpec<MessageInitShape<I>, MessageShape<O>, MessageShape<I>, MessageInitShape<O>, (typeof KINDS)[K]>
  : never;
/** The methods of a generated protobuf-es service, by their local names. */
export type SpecsOf<Desc extends DescService> = { [Name in keyof Desc['method']]: SpecOf<Desc['method'][Name]> };

/**
 * A contract in JSON: `contract('Greeter', { hello: unary<string, string>() }, { version: 'v1' })`. The keys are the names on the wire.
 * Throws BAD_OPTION.
 */
export function contract<Specs extends MethodSpecs>(name: string, methods: Specs, options?: ContractOptions): Contract<Specs>;
/** A contract in Protobuf and JSON from a generated protobuf-es service: `contract(TestService)`. Throws BAD_OPTION. */
export function contract<Desc extends DescService>(service: Desc, options?: DescriptorOptions): Contract<SpecsOf<Desc>>;
export function contract(
  first: string | DescService,
  second: MethodSpecs | DescriptorOptions = {},
  third: ContractOptions = {},
): Contract<MethodSpecs> {
  return typeof first === 'string' ? plainContract(first, second as MethodSpecs, third) : descriptorContract(first, second as DescriptorOptions);
}

function plainContract(service: string, specs: MethodSpecs, options: ContractOptions): Contract {
  checkName('name', service);
  if (typeof specs !== 'object' || specs === null) throw badOption('methods', specs, 'an object of what unary() and oneway() return');
  const version = versionOf(options);
  const codecs = { json };
  const methods = Object.entries(specs).map(([name, spec]): [string, Method] => {
    if (!METHOD_KINDS.includes(spec?.kind)) throw badOption(`methods.${name}`, spec, 'what unary(), oneway(), serverStream() … return');
    const { kind, idempotent, timeout } = spec;
    if (timeout !== undefined) checkTimeout(timeout);
    return [name, method({ service, version, name, kind, idempotent, timeout, input: codecs, output: codecs })];
  });
  return finish(service, version, 'json', ['json'], methods);
}

function descriptorContract(desc: DescService, options: DescriptorOptions): Contract {
  if (desc?.kind !== 'service') throw badOption('contract', desc, 'a name, or a service generated by protoc-gen-es');
  const version = versionOf(options);
  const { name = desc.typeName } = options;
  checkName('name', name);
  const oneways = namesOf('oneway', options, desc);
  const withoutReply = namesOf('noReply', options, desc);
  const methods = desc.methods.map((one): [string, Method] => {
    let kind: MethodKind = KINDS[one.methodKind];
    if (oneways.includes(one.name)) kind = 'oneway';
    else if (withoutReply.includes(one.name)) kind = 'noReply';
    const input = { json: protobufJsonBody(one.input), protobuf: protobufBody(one.input) };
    const output = { json: protobufJsonBody(one.output), protobuf: protobufBody(one.output) };
    return [
      one.localName,
      method({ service: name, version, name: one.name, kind, idempotent: isIdempotent(one), timeout: undefined, input, output }),
    ];
  });
  return finish(name, version, 'protobuf', ['protobuf', 'json'], methods);
}

/** Throws BAD_OPTION unless they are unary methods of the service. */
function namesOf(option: 'oneway' | 'noReply', options: DescriptorOptions, desc: DescService): readonly string[] {
  const names = options[option] ?? [];
  if (!Array.isArray(names)) throw badOption(option, names, 'an array of method names');
  const possible = desc.methods.filter((one) => one.methodKind === 'unary').map((one) => one.name);
  for (const wanted of names) if (!possible.includes(wanted)) throw badOption(option, wanted, `one of ${possible.join(', ')}`);
  return names;
}

function isIdempotent({ idempotency }: DescMethod): boolean {
  return idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENT || idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

function method(fields: Omit<Method, 'templates'>): Method {
  return { ...fields, templates: { json: requestTemplate('json', fields), protobuf: requestTemplate('protobuf', fields) } };
}

function finish(name: string, version: string, codec: CodecName, codecs: readonly CodecName[], methods: [string, Method][]): Contract {
  if (methods.length === 0) throw badOption('methods', 'none', 'at least one method');
  return { name, version, codec, codecs, methods: new Map(methods) };
}

function versionOf(options: ContractOptions): string {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object');
  const { version = '' } = options;
  if (typeof version !== 'string') throw badOption('version', version, 'a string');
  return version;
}

function checkName(option: string, name: unknown): void {
  if (typeof name !== 'string' || name === '') throw badOption(option, name, 'a name');
}

/** Give a contract its handlers. Throws BAD_OPTION when one is missing. */
export function implement<Specs extends MethodSpecs>(contract: Contract<Specs>, handlers: Handlers<Specs>): Service {
  if (!(contract?.methods instanceof Map)) throw badOption('contract', contract, 'what contract() returns');
  const byName = new Map<string, { method: Method; handler: Handler }>();
  for (const [localName, method] of contract.methods) {
    const handler = handlers?.[localName];
    // A method named toString must be the user's own, not what every object has.
    if (typeof handler !== 'function' || handler === Reflect.get(Object.prototype, localName))
      throw badOption(`handlers.${localName}`, handler, `a function for ${contract.name}.${method.name}`);
    byName.set(method.name, { method, handler: (handler as Handler).bind(handlers) });
  }
  return { contract: contract as unknown as Contract, handlers: byName };
}
