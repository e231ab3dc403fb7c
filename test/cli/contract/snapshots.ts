/** Small snapshots for tests. */
import type {
  ContractSnapshot,
  MethodSnapshot,
  ProtobufEnum,
  ProtobufField,
  ProtobufMessage,
  ServiceSnapshot,
} from '../../../src/cli/contract/snapshot.js';

export const hello: MethodSnapshot = {
  name: 'hello',
  kind: 'unary',
  idempotent: false,
  timeout: 500,
};

export const greeter: ServiceSnapshot = {
  name: 'Greeter',
  version: 'v1',
  codecs: ['json'],
  methods: [hello],
  messages: {},
  enums: {},
};

export function snapshot(...services: readonly ServiceSnapshot[]): ContractSnapshot {
  return { format: 1, services };
}

/** Greeter with other properties. */
export function withService(changes: Partial<ServiceSnapshot>): ContractSnapshot {
  return snapshot({ ...greeter, ...changes });
}

/** Greeter whose only method has other properties. */
export function withMethod(changes: Partial<MethodSnapshot>): ContractSnapshot {
  return withService({ methods: [{ ...hello, ...changes }] });
}

/** Greeter whose only method has this JSON Schema. */
export function withSchema(direction: 'input' | 'output', jsonSchema: object): ContractSnapshot {
  const described = { vendor: 'zod', jsonSchema };
  // A method without a reply, so that there is no output to compare.
  return withMethod(
    direction === 'input' ? { kind: 'noReply', input: described } : { output: described },
  );
}

export function field(
  text: string,
  { cardinality = 'single', ...changes }: Partial<ProtobufField> = {},
): ProtobufField {
  const [type = '', name = '', number] = text.split(' ');
  return { name, number: Number(number), type, cardinality, ...changes };
}

interface ProtobufParts extends Partial<ProtobufMessage> {
  readonly codecs?: ServiceSnapshot['codecs'];
  /** The type of the input. Default: Order. */
  readonly type?: string;
  readonly enums?: Readonly<Record<string, ProtobufEnum>>;
  readonly messages?: Readonly<Record<string, ProtobufMessage>>;
}

/** Greeter whose only method takes an Order with these fields. */
export function withProtobuf({
  codecs = ['protobuf'],
  type = 'Order',
  enums = {},
  messages = {},
  fields = [],
  ...message
}: ProtobufParts): ContractSnapshot {
  return withService({
    codecs,
    methods: [{ ...hello, kind: 'noReply', input: { vendor: 'protobuf', type } }],
    messages: { [type]: { fields, ...message }, ...messages },
    enums,
  });
}

/** As withProtobuf(), in Protobuf and JSON. */
export function withJson(parts: ProtobufParts): ContractSnapshot {
  return withProtobuf({ codecs: ['json', 'protobuf'], ...parts });
}

/** Greeter whose only method takes an Order with a field of this enum. */
export function withEnum(
  parts: Partial<ProtobufEnum> & { readonly isJson?: boolean; readonly name?: string },
): ContractSnapshot {
  const { isJson = false, name = 'Color', values = [], ...rest } = parts;
  return (isJson ? withJson : withProtobuf)({
    fields: [field(`${name} color 1`)],
    enums: { [name]: { values, ...rest } },
  });
}
