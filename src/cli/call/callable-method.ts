/** The method that `getty call` calls: its contract, and how its messages become JSON. */
import {
  type Contract,
  clientStream,
  contract,
  duplex,
  type MethodClasses,
  type MethodDescription,
  type MethodKind,
  type MethodSpecs,
  noReply,
  oneway,
  type ServiceDescription,
  serverStream,
  unary,
} from '../../rpc/index.js';
import { unknownName } from '../unknown-name.js';
import { checkFields, type MessageFields } from './argument-fields.js';
import { unknownProperties } from './argument-properties.js';

type SpecMaker = (options?: { protobuf: MethodClasses }) => MethodSpecs[string];

export interface CallableMethod {
  readonly contract: Contract;
  /** The name that a stub uses. */
  readonly localName: string;
  readonly kind: MethodKind;
  /** The message of a JSON value. Throws an Error if it does not fit. */
  encode(value: unknown): unknown;
  /** What is suspicious in a JSON value that fits. Undefined: nothing is known of it. */
  readonly warningsOf?: ((value: unknown) => readonly string[]) | undefined;
  /** The JSON value of a message. */
  decode(message: unknown): unknown;
}

/** Makes the method of a contract, by its kind. */
export const SPECS: Readonly<Record<MethodKind, SpecMaker>> = {
  unary,
  oneway,
  noReply,
  serverStream,
  clientStream,
  duplex,
};
export const METHOD_KINDS = Object.keys(SPECS) as MethodKind[];

/**
 * A method in plain JSON. Nothing of it needs to be known but its kind. `input`: the description of
 * its argument, if it is known.
 */
export function jsonMethod(
  service: string,
  version: string,
  method: string,
  kind: MethodKind,
  input: MessageFields & { readonly jsonSchema?: object | undefined } = {},
): CallableMethod {
  return {
    contract: contract(service, { [method]: SPECS[kind]() }, { version }),
    localName: method,
    kind,
    encode: (value) => {
      checkFields(input, value);
      return value;
    },
    warningsOf: (value) =>
      input.jsonSchema === undefined ? [] : unknownProperties(input.jsonSchema, value),
    decode: (message) => message,
  };
}

/** A method that a server describes, and its service. */
export interface FoundMethod {
  readonly service: ServiceDescription;
  readonly method: MethodDescription;
}

/** The method that a server describes. Throws UNIMPLEMENTED, with advice. */
export function findMethod(
  services: readonly ServiceDescription[],
  service: string,
  version: string,
  method: string,
): FoundMethod {
  const named = services.filter(({ name }) => name === service);
  const found = named.find((each) => version === '' || each.version === version);
  if (found === undefined) {
    const wanted = version === '' ? service : `${service} ${version}`;
    const versions = named.map((each) => each.version || 'no version');
    throw unknownName(
      `the server does not offer ${wanted}`,
      named.length > 0 ? version : service,
      named.length > 0 ? versions : services.map(({ name }) => name),
    );
  }
  const description = found.methods.find(({ name }) => name === method);
  if (description === undefined)
    throw unknownName(
      `${service} has no method ${method}`,
      method,
      found.methods.map(({ name }) => name),
    );
  return { service: found, method: description };
}
