/** Contracts written by hand: the name, version and methods of a service. */
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import { checkTimeout } from '../calls/client-call.js';
import { codecsOf, commonCodecs } from '../codecs/message-class.js';
import type {
  CodecName,
  Contract,
  Handler,
  Handlers,
  Method,
  MethodSpecs,
  Service,
} from '../types.js';
import { requestTemplate } from '../wire/request.js';
import { isMethodSpec } from './method.js';
import { withValidation } from './validation.js';

/** Options of contract(). */
export interface ContractOptions {
  /**
   * The version of the service. A call reaches a service of the same version only. Default: none;
   * such a call reaches every version, and such a service accepts every version.
   */
  version?: string | undefined;
}

export const CONTRACT_NAMES = { version: true } satisfies NamesOf<ContractOptions>;

/**
 * Makes a contract from methods written by hand: `contract('Greeter', { hello: unary<string,
 * string>() }, { version: 'v1' })`. The keys are the method names on the wire. The contract is in
 * JSON. When all methods have Protobuf classes it is in Protobuf, and also in JSON if all classes
 * have a JSON form. Throws BAD_OPTION, also for a method named `then`.
 */
export function contract<Specs extends MethodSpecs>(
  service: string,
  specs: Specs,
  options: ContractOptions = {},
): Contract<Specs> {
  if (typeof service === 'object')
    throw badOption(
      'contract',
      service,
      "a name; for a generated service import contract() of 'getty-ts/web/protobuf'",
    );
  checkName('name', service);
  if (typeof specs !== 'object' || specs === null)
    throw badOption('methods', specs, 'an object of methods, made by unary(), oneway() …');
  checkNames('contract()', options, CONTRACT_NAMES);
  const version = versionOf(options);
  const methods = Object.entries(specs).map(([name, spec]): [string, Method] => {
    if (!isMethodSpec(spec))
      throw badOption(
        `methods.${name}`,
        spec,
        'a method, made by unary(), oneway(), serverStream() …',
      );
    const { kind, idempotent, timeout, schemas, protobuf } = spec;
    if (timeout !== undefined) checkTimeout(timeout);
    const input = codecsOf(protobuf?.input);
    // A method without a reply never uses its output codecs.
    const output = kind === 'oneway' || kind === 'noReply' ? input : codecsOf(protobuf?.output);
    return [
      name,
      makeMethod({ service, version, name, kind, idempotent, timeout, input, output, schemas }),
    ];
  });
  const codecs = commonCodecs(methods.flatMap(([, { input, output }]) => [input, output]));
  if (codecs[0] === undefined)
    throw badOption(
      'methods',
      'methods in Protobuf only and methods in JSON only',
      'one codec that all methods have',
    );
  return makeContract(service, version, codecs[0], codecs, methods);
}

export function makeMethod(fields: Omit<Method, 'templates'>): Method {
  return {
    templates: {
      json: requestTemplate('json', fields),
      protobuf: requestTemplate('protobuf', fields),
    },
    ...fields,
  };
}

/** `methods`: with the names that stubs and handlers use. Throws BAD_OPTION. */
export function makeContract<Specs extends MethodSpecs>(
  name: string,
  version: string,
  codec: CodecName,
  codecs: readonly CodecName[],
  methods: [string, Method][],
  files?: Contract['files'],
): Contract<Specs> {
  if (methods.length === 0) throw badOption('methods', 'none', 'at least one method');
  // A stub with a method `then` is a thenable: `await` would call the method, and an async function
  // could not return the stub.
  if (methods.some(([localName]) => localName === 'then'))
    throw badOption('methods', 'then', 'another name: await calls a method named then');
  return { name, version, codec, codecs, methods: new Map(methods), files };
}

/** Throws BAD_OPTION. */
export function versionOf(options: ContractOptions): string {
  const { version = '' } = options;
  if (typeof version !== 'string') throw badOption('version', version, 'a string');
  return version;
}

/** Throws BAD_OPTION. */
export function checkName(option: string, name: unknown): void {
  if (typeof name !== 'string' || name === '') throw badOption(option, name, 'a name');
}

/**
 * Binds a handler to each method of a contract. Handlers are called with `handlers` as `this`.
 * Throws BAD_OPTION when a handler is missing.
 */
export function implement<Specs extends MethodSpecs>(
  contract: Contract<Specs>,
  handlers: Handlers<Specs>,
): Service<Specs> {
  if (!(contract?.methods instanceof Map))
    throw badOption('contract', contract, 'a contract, made by contract()');
  const byName = new Map<string, { method: Method; handler: Handler }>();
  for (const [localName, method] of contract.methods) {
    const handler = handlers?.[localName];
    // Each object inherits toString() and others from Object.prototype; these are no handlers.
    if (typeof handler !== 'function' || handler === Reflect.get(Object.prototype, localName))
      throw badOption(
        `handlers.${localName}`,
        handler,
        `a function for ${contract.name}.${method.name}`,
      );
    byName.set(method.name, {
      method,
      handler: withValidation(method, (handler as Handler).bind(handlers)),
    });
  }
  return { contract, handlers: byName };
}
