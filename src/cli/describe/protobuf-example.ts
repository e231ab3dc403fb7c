/** An example of a Protobuf message in ProtoJSON. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';

/**
 * The JSON of the scalar types of Protobuf, and of the messages that have a JSON form of their own.
 */
const EXAMPLES: Readonly<Record<string, unknown>> = {
  double: 0,
  float: 0,
  int32: 0,
  uint32: 0,
  sint32: 0,
  fixed32: 0,
  sfixed32: 0,
  // JSON has 64-bit integers as strings.
  int64: '0',
  uint64: '0',
  sint64: '0',
  fixed64: '0',
  sfixed64: '0',
  bool: false,
  string: '',
  bytes: '',
  'google.protobuf.Timestamp': '1970-01-01T00:00:00Z',
  'google.protobuf.Duration': '0s',
  'google.protobuf.Struct': {},
  'google.protobuf.Empty': {},
  'google.protobuf.FieldMask': '',
  'google.protobuf.ListValue': [],
  'google.protobuf.Value': '',
  'google.protobuf.StringValue': '',
  'google.protobuf.BytesValue': '',
  'google.protobuf.BoolValue': false,
  'google.protobuf.Int32Value': 0,
  'google.protobuf.UInt32Value': 0,
  'google.protobuf.Int64Value': '0',
  'google.protobuf.UInt64Value': '0',
  'google.protobuf.FloatValue': 0,
  'google.protobuf.DoubleValue': 0,
};

const MAX_DEPTH = 6;
/** The most fields of an example. */
const MAX_FIELDS = 300;

/** Undefined: the type is another message, or an enum. */
export function exampleOfType(type: string): unknown {
  return Object.hasOwn(EXAMPLES, type) ? EXAMPLES[type] : undefined;
}

/** The example of a message, with the messages and enums in it. Of a oneof it has one field. */
export function exampleOfMessage(message: DescMessage): unknown {
  return new MessageExample().make(message, []);
}

class MessageExample {
  #fields = 0;

  /** `parents`: the messages around this one, because a message may contain itself. */
  make(message: DescMessage, parents: readonly DescMessage[]): unknown {
    const known = exampleOfType(message.typeName);
    if (known !== undefined) return known;
    // An Any needs the name of a type that the server knows.
    if (message.typeName === 'google.protobuf.Any') return undefined;
    if (parents.includes(message) || parents.length >= MAX_DEPTH) return undefined;
    const body: Record<string, unknown> = Object.create(null);
    const within = [...parents, message];
    const oneofs = new Set<unknown>();
    for (const field of message.fields) {
      if (field.oneof !== undefined && oneofs.has(field.oneof)) continue;
      if (++this.#fields > MAX_FIELDS) break;
      const example = this.#makeField(field, within);
      if (example === undefined) continue;
      if (field.oneof !== undefined) oneofs.add(field.oneof);
      body[field.name] = example;
    }
    return body;
  }

  #makeField(field: DescField, parents: readonly DescMessage[]): unknown {
    if (field.fieldKind === 'map') return {};
    const { message, enum: names, scalar } = field;
    if (field.fieldKind === 'list') {
      const item = message && this.make(message, parents);
      return item === undefined ? [] : [item];
    }
    if (message !== undefined) return this.make(message, parents);
    if (names !== undefined) return names.values[0]?.name;
    return scalar === undefined ? undefined : exampleOfType(ScalarType[scalar].toLowerCase());
  }
}
