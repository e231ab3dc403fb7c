/** The method that `getty call` calls: its contract, and how its messages become JSON. */
import {
  type Contract,
  clientStream,
  contract,
  duplex,
  type MethodKind,
  type MethodSpecs,
  noReply,
  oneway,
  RpcError,
  type ServiceDescription,
  serverStream,
  unary,
} from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import { unknownName } from '../unknown-name.js';

export interface CallableMethod {
  readonly contract: Contract;
  /** The name that a stub uses. */
  readonly localName: string;
  readonly kind: MethodKind;
  /** The message of a JSON value. Throws an Error if it does not fit. */
  encode(value: unknown): unknown;
  /** The JSON value of a message. */
  decode(message: unknown): unknown;
}

const SPECS: Readonly<Record<MethodKind, () => MethodSpecs[string]>> = {
  unary,
  oneway,
  noReply,
  serverStream,
  clientStream,
  duplex,
};
export const METHOD_KINDS = Object.keys(SPECS) as MethodKind[];

/** A method in plain JSON. Nothing of it needs to be known but its kind. */
export function jsonMethod(
  service: string,
  version: string,
  method: string,
  kind: MethodKind,
): CallableMethod {
  return {
    contract: contract(service, { [method]: SPECS[kind]() }, { version }),
    localName: method,
    kind,
    encode: (value) => value,
    decode: (message) => message,
  };
}

/**
 * The kind of a method that a server describes. Throws UNIMPLEMENTED, with advice, if the server
 * does not offer it in JSON.
 */
export function describedKind(
  services: readonly ServiceDescription[],
  service: string,
  version: string,
  method: string,
): MethodKind {
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
  if (!found.codecs.includes('json'))
    throw new AdvisedError(
      new RpcError('UNIMPLEMENTED', `the server offers ${service} in Protobuf only`),
      'give its descriptors with --proto FILE.binpb',
    );
  return description.kind;
}
