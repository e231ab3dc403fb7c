/**
 * Contracts of generated Protobuf services. This is the only file about contracts that loads
 * `@bufbuild/protobuf`, so a browser bundle can do without it.
 */
import type {
  DescFile,
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
  Registry,
} from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import { protobufCodec } from '../codecs/protobuf/codec.js';
import { protobufJsonCodec } from '../codecs/protobuf/json/json-codec.js';
import type {
  Contract,
  MessageCodecs,
  Method,
  MethodKind,
  MethodSpec,
  MethodSpecs,
} from '../types.js';
import {
  CONTRACT_NAMES,
  type ContractOptions,
  checkName,
  makeContract,
  makeMethod,
  contract as plainContract,
  versionOf,
} from './contract.js';

/** Options of contract() for a generated service. */
export interface DescriptorOptions extends ContractOptions {
  /**
   * The name of the service on the wire. Default: the full name in the descriptor, with the
   * package.
   */
  name?: string | undefined;
  /**
   * The methods without a reply, as oneway() makes them, by their names in the .proto file.
   * Default: none.
   */
  oneway?: readonly string[] | undefined;
  /**
   * The methods with an empty reply, as noReply() makes them, by their names in the .proto file.
   * Default: none.
   */
  noReply?: readonly string[] | undefined;
  /**
   * The message types that a google.protobuf.Any may contain, and extensions:
   * `createRegistry(UserSchema)` of `@bufbuild/protobuf`. Only JSON needs them. Default: none; a
   * call in JSON with an Any fails.
   */
  registry?: Registry | undefined;
}

const DESCRIPTOR_NAMES = {
  name: true,
  oneway: true,
  noReply: true,
  registry: true,
  ...CONTRACT_NAMES,
} satisfies NamesOf<DescriptorOptions>;

/** The kind of a method, by the kind in its descriptor. */
const KINDS = {
  unary: 'unary',
  server_streaming: 'serverStream',
  client_streaming: 'clientStream',
  bidi_streaming: 'duplex',
} as const;

/**
 * Normalizes a name, so that a name of a .proto file and its local name in TypeScript are equal.
 */
type NormalizedName<Name> = Name extends `${infer Before}_${infer After}`
  ? NormalizedName<`${Before}${After}`>
  : Name extends string
    ? Lowercase<Name>
    : never;

/** True: the option contains the method's name as a literal type. */
type IsNamed<Names, LocalName> = Names extends readonly (infer Name)[]
  ? string extends Name
    ? false
    : NormalizedName<LocalName> extends NormalizedName<Name>
      ? true
      : false
  : false;

type KindOf<MethodKind extends keyof typeof KINDS, LocalName, Options> =
  IsNamed<Options extends { oneway: infer Names } ? Names : unknown, LocalName> extends true
    ? 'oneway'
    : IsNamed<Options extends { noReply: infer Names } ? Names : unknown, LocalName> extends true
      ? 'noReply'
      : (typeof KINDS)[MethodKind];

type SpecOfKind<
  I extends DescMessage,
  O extends DescMessage,
  Kind extends MethodKind,
> = Kind extends 'oneway' | 'noReply'
  ? MethodSpec<MessageInitShape<I>, void, MessageShape<I>, void, Kind>
  : MethodSpec<MessageInitShape<I>, MessageShape<O>, MessageShape<I>, MessageInitShape<O>, Kind>;

type SpecOf<M, LocalName, Options> = M extends {
  methodKind: infer K extends keyof typeof KINDS;
  input: infer I extends DescMessage;
  output: infer O extends DescMessage;
}
  ? SpecOfKind<I, O, KindOf<K, LocalName, Options>>
  : never;

/**
 * The methods of a generated protobuf-es service, by their local names. `Options`: the options of
 * contract(), as literal types.
 */
export type SpecsOf<Desc extends DescService, Options = unknown> = {
  [Name in keyof Desc['method']]: SpecOf<Desc['method'][Name], Name, Options>;
};

/**
 * Makes a contract from methods written by hand: `contract('Greeter', { hello: unary<string,
 * string>() }, { version: 'v1' })`. The keys are the method names on the wire. The contract is in
 * JSON. When all methods have Protobuf classes it is in Protobuf, and also in JSON if all classes
 * have a JSON form. Throws BAD_OPTION, also for a method named `then`.
 */
export function contract<Specs extends MethodSpecs>(
  name: string,
  methods: Specs,
  options?: ContractOptions,
): Contract<Specs>;
/**
 * Makes a contract in Protobuf and JSON from a generated protobuf-es service:
 * `contract(TestService)`. Stubs and handlers use the local names of its methods. Throws
 * BAD_OPTION.
 */
export function contract<Desc extends DescService, const Options extends DescriptorOptions>(
  service: Desc,
  options?: Options,
): Contract<SpecsOf<Desc, Options>>;
export function contract(
  first: string | DescService,
  second: MethodSpecs | DescriptorOptions = {},
  third: ContractOptions = {},
): Contract<MethodSpecs> {
  return typeof first === 'string'
    ? plainContract(first, second as MethodSpecs, third)
    : descriptorContract(first, second as DescriptorOptions);
}

function descriptorContract(desc: DescService, options: DescriptorOptions): Contract {
  if (desc?.kind !== 'service')
    throw badOption('contract', desc, 'a name, or a service generated by protoc-gen-es');
  checkNames('contract()', options, DESCRIPTOR_NAMES);
  const version = versionOf(options);
  const { name = desc.typeName, registry } = options;
  checkName('name', name);
  if (registry !== undefined && typeof registry?.getMessage !== 'function')
    throw badOption('registry', registry, 'a registry, made by createRegistry()');
  const oneway = unaryMethodNames('oneway', options, desc);
  const noReply = unaryMethodNames('noReply', options, desc);
  for (const method of noReply)
    if (oneway.includes(method)) throw badOption('noReply', method, 'no method that oneway names');
  const codecsOf = (schema: DescMessage): MessageCodecs => ({
    json: protobufJsonCodec(schema, registry),
    protobuf: protobufCodec(schema),
  });
  const methods = desc.methods.map((method): [string, Method] => {
    let kind: MethodKind = KINDS[method.methodKind];
    if (oneway.includes(method.name)) kind = 'oneway';
    else if (noReply.includes(method.name)) kind = 'noReply';
    const input = codecsOf(method.input);
    const output = codecsOf(method.output);
    return [
      method.localName,
      makeMethod({
        service: name,
        version,
        name: method.name,
        kind,
        idempotent: isIdempotent(method),
        timeout: undefined,
        input,
        output,
      }),
    ];
  });
  const files = [desc.file, ...filesOf(registry)];
  return makeContract(name, version, 'protobuf', ['protobuf', 'json'], methods, files);
}

function filesOf(registry: Registry | undefined): DescFile[] {
  return registry === undefined ? [] : [...registry].map(({ file }) => file);
}

/**
 * Returns the names in an option. Throws BAD_OPTION unless they are unary methods of the service.
 */
function unaryMethodNames(
  option: 'oneway' | 'noReply',
  options: DescriptorOptions,
  desc: DescService,
): readonly string[] {
  const names = options[option] ?? [];
  if (!Array.isArray(names)) throw badOption(option, names, 'an array of method names');
  const unary = desc.methods
    .filter(({ methodKind }) => methodKind === 'unary')
    .map(({ name }) => name);
  for (const name of names)
    if (!unary.includes(name)) throw badOption(option, name, `one of ${unary.join(', ')}`);
  return names;
}

function isIdempotent({ idempotency }: DescMethod): boolean {
  return (
    idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENT ||
    idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS
  );
}
