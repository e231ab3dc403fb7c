/** A method in Protobuf, with the descriptors that its server tells. */
import {
  type DescMessage,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { contract, type MessageClass, type MethodDescription, RpcError } from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import { checkFields } from './argument-fields.js';
import { type CallableMethod, type FoundMethod, SPECS } from './callable-method.js';

/**
 * The method in Protobuf; its messages are JSON for the user. Throws UNIMPLEMENTED, with advice, if
 * the server does not describe the messages.
 */
export function describedMethod(
  { service, method }: FoundMethod,
  version: string,
  registry: FileRegistry | undefined,
): CallableMethod {
  const { name, kind } = method;
  const input = messageOf(method, 'input', registry);
  const output =
    kind === 'oneway' || kind === 'noReply' ? input : messageOf(method, 'output', registry);
  const classes = { input: classOf(input), output: classOf(output) };
  const spec = SPECS[kind]({ protobuf: classes });
  return {
    contract: contract(service.name, { [name]: spec }, { version }),
    localName: name,
    kind,
    encode: (value) => {
      checkFields({ type: input.typeName, fields: input.fields }, value);
      return fromJson(input, (value ?? {}) as JsonValue, { registry });
    },
    // Fields with their default values too, so that people see what the message has.
    decode: (message) =>
      message === undefined
        ? undefined
        : toJson(output, message as Message, { registry, alwaysEmitImplicit: true }),
  };
}

function messageOf(
  method: MethodDescription,
  direction: 'input' | 'output',
  registry: FileRegistry | undefined,
): DescMessage {
  const type = method[direction]?.type;
  const message = type === undefined ? undefined : registry?.getMessage(type);
  if (message !== undefined) return message;
  throw new AdvisedError(
    new RpcError(
      'UNIMPLEMENTED',
      `the server does not tell the Protobuf ${direction} of ${method.name}`,
    ),
    'give its descriptors with --proto FILE.binpb',
  );
}

function classOf(schema: DescMessage): MessageClass<Message> {
  return {
    encode: (message) => ({ finish: () => toBinary(schema, message) }),
    decode: (bytes) => fromBinary(schema, bytes),
  };
}
