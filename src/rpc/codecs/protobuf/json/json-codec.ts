/** The message codec of the JSON form of a Protobuf schema. */
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
  jsonCounts,
  MAX_DECODED_OBJECTS,
  parseJsonText,
  scanJson,
} from '../../../../transport/codecs/json-text.js';
import { decoded } from '../../decoded.js';
import { isUndefined } from '../../json.js';
import type { MessageCodec } from '../../types.js';
import { validText } from '../value-reader.js';
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
 * Makes a codec of JSON as Go's encoding/json reads it: field names of the .proto file, enums as
 * numbers, no field omitted. `registry`: the types that a google.protobuf.Any may contain, and
 * extensions.
 */
export function protobufJsonCodec<Desc extends DescMessage>(
  schema: Desc,
  registry?: Registry,
): MessageCodec<MessageInitShape<Desc>> {
  const writeOptions = {
    alwaysEmitImplicit: true,
    useProtoFieldName: true,
    enumAsInteger: true,
    registry,
  };
  const readOptions = { ignoreUnknownFields: true, registry };
  const takesNull = schema.typeName === 'google.protobuf.Value';
  const withTextKeys = hasTextKeys(schema, registry !== undefined);
  return {
    encode(output, given) {
      const message = (given === undefined ? {} : given) as typeof given;
      // protobuf-es loses a map key `__proto__`, so such a key is renamed while protobuf-es handles
      // the message.
      const escaped = withTextKeys
        ? (mapMessageKeys(schema, message, escapeKey, registry) as typeof message)
        : message;
      if (escaped === message)
        output.text(toJsonString(schema, toMessage(schema, message), writeOptions));
      else
        output.text(
          JSON.stringify(
            mapJsonKeys(toJson(schema, toMessage(schema, escaped), writeOptions), unescapeKey),
          ),
        );
    },
    decode(bytes, start, end, maxObjects = MAX_DECODED_OBJECTS) {
      scanJson(bytes, start, end, maxObjects);
      const { values, names } = jsonCounts;
      // protobuf-es takes long to validate the text of invalid UTF-8, so it is refused here.
      const text = isUndefined(bytes, start, end) ? '{}' : validText(bytes, start, end);
      const parsed = parseJsonText(text) as JsonValue;
      // Go sends null for a nil message.
      const value = parsed === null && !takesNull ? {} : parsed;
      const escaped = withTextKeys && mayHaveProtoKey(text);
      // ProtoJSON requires that two properties of one name are refused; JSON.parse() keeps the last
      // one.
      if (checkJsonCost(schema, value, values, maxObjects, escaped, registry) !== names)
        throw new SyntaxError('an object has two properties with one name');
      if (!escaped) return fromJson(schema, value, readOptions) as MessageInitShape<Desc>;
      const { objects } = decoded;
      const renamed = mapJsonKeys(value, escapeKey) as JsonValue;
      const message = mapMessageKeys(
        schema,
        fromJson(schema, renamed, readOptions),
        unescapeKey,
        registry,
      ) as MessageInitShape<Desc>;
      // The content of an Any was decoded separately.
      decoded.objects = objects;
      return message;
    },
    describe: () => describeSchema(schema),
  };
}

function toMessage<Desc extends DescMessage>(
  schema: Desc,
  message: MessageInitShape<Desc>,
): MessageShape<Desc> {
  if (isMessage(message, schema)) return message as MessageShape<Desc>;
  if (typeof message !== 'object' || message === null || Array.isArray(message))
    throw new TypeError(
      `cannot encode ${schema}: got ${Array.isArray(message) ? 'an array' : message}, expected an object`,
    );
  return create(schema, message);
}
