/** An example of a message as JSON, which can be pasted into `getty call` and then changed. */
import type { FieldDescription, MessageDescription } from '../../rpc/index.js';

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
  'google.protobuf.StringValue': '',
  'google.protobuf.BoolValue': false,
  'google.protobuf.Int32Value': 0,
  'google.protobuf.Int64Value': '0',
  'google.protobuf.DoubleValue': 0,
};

/**
 * The example of a message of Protobuf; undefined if the server does not tell its fields. A field
 * whose type is another message or an enum is left out, because the server does not describe it: a
 * message is valid without it. Of a oneof there is only one field.
 */
export function exampleBody(message: MessageDescription | undefined): unknown {
  if (message?.fields === undefined) return undefined;
  const body: Record<string, unknown> = Object.create(null);
  const oneofs = new Set<string>();
  for (const { name, type, oneof } of message.fields) {
    const example = exampleOf(type);
    if (example === undefined || (oneof !== undefined && oneofs.has(oneof))) continue;
    if (oneof !== undefined) oneofs.add(oneof);
    body[name] = example;
  }
  return body;
}

function exampleOf(type: FieldDescription['type']): unknown {
  if (type.startsWith('map<')) return {};
  if (type.startsWith('repeated ')) return [];
  return Object.hasOwn(EXAMPLES, type) ? EXAMPLES[type] : undefined;
}
