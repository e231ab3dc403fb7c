/**
 * The message codec of a Protobuf schema. It compiles code for the schema, or calls protobuf-es
 * where code generation is forbidden.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  isMessage,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { keepable } from '../../../core/bytes.js';
import { ByteWriter } from '../../../transport/buffers/byte-writer.js';
import { MAX_DECODED_OBJECTS } from '../../../transport/codecs/json-text.js';
import { decoded } from '../decoded.js';
import type { MessageCodec } from '../types.js';
import { compiledOf } from './compiled-schema.js';
import { countsOf } from './message-counts.js';
import { checkObjectCount } from './object-counter.js';
import type { AnyMessage, CompiledSchema } from './types.js';
import { beginDecoding, cursor } from './value-reader.js';

/**
 * Makes the codec of a schema. It encodes messages and init shapes of create(), and decodes
 * messages. The first message compiles the code.
 */
export function protobufCodec<Desc extends DescMessage>(
  schema: Desc,
): MessageCodec<MessageInitShape<Desc>> {
  let codec: MessageCodec | undefined;
  const makeCodec = (): MessageCodec => {
    const compiled = compiledOf(schema);
    codec = compiled === undefined ? libraryCodec(schema) : compiledCodec(compiled);
    return codec;
  };
  return {
    encode: (output, message) => (codec ?? makeCodec()).encode(output, message),
    decode: (bytes, start, end, maxObjects) =>
      (codec ?? makeCodec()).decode(bytes, start, end, maxObjects) as MessageInitShape<Desc>,
  };
}

function compiledCodec(compiled: CompiledSchema): MessageCodec {
  const { Message } = compiled;
  // The message itself does not count, but its fields do.
  const fieldObjects = countsOf(compiled.schema).objects - 1;
  return {
    encode(output, message) {
      const start = output.length;
      try {
        const given = (message === undefined ? {} : message) as AnyMessage;
        ByteWriter.setLength(output, compiled.encode(output, given, start, true));
      } catch (error) {
        ByteWriter.setLength(output, start);
        throw error;
      }
    },
    decode(bytes, start, end, maxObjects = MAX_DECODED_OBJECTS) {
      beginDecoding(end, maxObjects);
      const message = new Message();
      compiled.decode(bytes, start, end, end, message, 1, 0);
      decoded.objects = maxObjects - cursor.left + fieldObjects;
      return message;
    },
  };
}

function libraryCodec(schema: DescMessage): MessageCodec {
  return {
    encode(output, message) {
      const init = message as MessageInitShape<DescMessage>;
      output.append(
        toBinary(
          schema,
          isMessage(init, schema) ? (init as MessageShape<DescMessage>) : create(schema, init),
        ),
      );
    },
    decode(bytes, start, end, maxObjects = MAX_DECODED_OBJECTS) {
      decoded.objects = checkObjectCount(schema, bytes, start, end, maxObjects);
      return fromBinary(schema, keepable(bytes, start, end));
    },
  };
}
