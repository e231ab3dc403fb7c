/** A message of a Protobuf schema as a JSON body. */
import {
  create,
  type DescMessage,
  fromJson,
  isMessage,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
  type Registry,
  toJson,
  toJsonString,
} from '@bufbuild/protobuf';
import {
  counted,
  MAX_DECODED_OBJECTS,
  parseText,
  scanJson,
} from '../../../../transport/json-text.js';
import type { MessageCodec } from '../../types.js';
import { validText } from '../field-reader.js';
import { checkJsonCost } from './json-cost.js';
import {
  escapeKey,
  hasTextKeys,
  mapJsonKeys,
  mapMessageKeys,
  mayHaveProtoKey,
  unescapeKey,
} from './map-key-escaping.js';
import { describeSchema } from './message-description.js';

/**
 * JSON as Go's encoding/json reads it: the field names of the .proto file, numbers for enums, no
 * field left out. `registry` has the types that a google.protobuf.Any may contain, and extensions.
 */
export function protobufJsonCodec<Desc extends DescMessage>(
  schema: Desc,
  registry?: Registry,
): MessageCodec<MessageInitShape<Desc>> {
  const writing = {
    alwaysEmitImplicit: true,
    useProtoFieldName: true,
    enumAsInteger: true,
    registry,
  };
  const reading = { ignoreUnknownFields: true, registry };
  const withTextKeys = hasTextKeys(schema, registry !== undefined);
  return {
    encode(output, message) {
      // protobuf-es loses a map key __proto__, so such a key has another name while protobuf-es has
      // it.
      const escaped = withTextKeys
        ? (mapMessageKeys(schema, message, escapeKey, registry) as typeof message)
        : message;
      if (escaped === message)
        output.text(toJsonString(schema, messageOf(schema, message), writing));
      else
        output.text(
          JSON.stringify(
            mapJsonKeys(toJson(schema, messageOf(schema, escaped), writing), unescapeKey),
          ),
        );
    },
    decode(bytes, start, end, maxObjects = MAX_DECODED_OBJECTS) {
      scanJson(bytes, start, end, maxObjects);
      const { values, names } = counted;
      // Bytes that are no UTF-8 are refused: protobuf-es takes long to check what they are read as.
      const text = validText(bytes, start, end) || '{}';
      const value = parseText(text) as JsonValue;
      const escaped = withTextKeys && mayHaveProtoKey(text);
      // JSON.parse() keeps the last of two properties with one name, and ProtoJSON wants the
      // message refused.
      if (checkJsonCost(schema, value, values, maxObjects, escaped, registry) !== names)
        throw new SyntaxError('an object has two properties with one name');
      if (!escaped) return fromJson(schema, value, reading) as MessageInitShape<Desc>;
      const renamed = mapJsonKeys(value, escapeKey) as JsonValue;
      return mapMessageKeys(
        schema,
        fromJson(schema, renamed, reading),
        unescapeKey,
        registry,
      ) as MessageInitShape<Desc>;
    },
    describe: () => describeSchema(schema),
  };
}

function messageOf<Desc extends DescMessage>(
  schema: Desc,
  message: MessageInitShape<Desc>,
): MessageShape<Desc> {
  return isMessage(message, schema) ? (message as MessageShape<Desc>) : create(schema, message);
}
