/**
 * A message of a Protobuf schema as a body: with compiled code, or by protobuf-es where no code may
 * be generated.
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
import { MAX_DECODED_OBJECTS } from '../../../transport/json-text.js';
import { decoded } from '../decoded.js';
import type { MessageCodec } from '../types.js';
import { compiledOf } from './compiled-schema.js';
import { beginDecoding, cursor } from './field-reader.js';
import { COUNT_PER_OBJECT, checkObjectCount } from './object-counter.js';
import type { AnyMessage, CompiledSchema } from './types.js';

/** Takes what create() takes, and gives messages. Nothing is compiled before the first message. */
export function protobufCodec<Desc extends DescMessage>(
  schema: Desc,
): MessageCodec<MessageInitShape<Desc>> {
  let codec: MessageCodec | undefined;
  const made = (): MessageCodec => {
    const compiled = compiledOf(schema);
    codec = compiled === undefined ? plainCodec(schema) : compiledCodec(compiled);
    return codec;
  };
  return {
    encode: (output, message) => (codec ?? made()).encode(output, message),
    decode: (bytes, start, end, maxObjects) =>
      (codec ?? made()).decode(bytes, start, end, maxObjects) as MessageInitShape<Desc>,
  };
}

function compiledCodec(compiled: CompiledSchema): MessageCodec {
  const { Message } = compiled;
  return {
    encode(output, message) {
      const start = output.length;
      try {
        output.length = compiled.encode(
          output,
          (message === undefined ? {} : message) as AnyMessage,
          start,
          true,
        );
      } catch (error) {
        output.length = start;
        throw error;
      }
    },
    decode(bytes, start, end, maxObjects = MAX_DECODED_OBJECTS) {
      beginDecoding(end, maxObjects);
      const message = new Message();
      compiled.decode(bytes, start, end, end, message, 1, 0);
      decoded.objects = maxObjects - cursor.left;
      return message;
    },
  };
}

function plainCodec(schema: DescMessage): MessageCodec {
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
      checkObjectCount(schema, bytes, start, end, maxObjects);
      decoded.objects = (maxObjects - cursor.left) / COUNT_PER_OBJECT;
      return fromBinary(schema, keepable(bytes, start, end));
    },
  };
}
