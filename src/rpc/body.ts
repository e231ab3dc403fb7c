/** Message codecs: how the argument or reply of a call becomes a body. */
import { create, type DescMessage, fromJsonString, isMessage, type MessageInitShape, type MessageShape, toJsonString } from '@bufbuild/protobuf';
import type { ByteWriter } from '../transport/byte-writer.js';
import { type Bytes, encode } from '../transport/bytes.js';
import { jsonText, parseJson } from './json.js';
import { protobufCodec } from './protobuf/codec.js';
import { describeSchema } from './protobuf/describe.js';
import type { MessageCodec } from './types.js';

/** JSON bodies without a value, for peers to which an empty body is an error. */
export const NULL = encode('null');
/** The same for a peer that may be extended: Go reads null, an extended peer undefined. */
export const UNDEFINED = encode('null ');

function isUndefined(bytes: Bytes, start: number, end: number): boolean {
  if (start === end) return true;
  // No other JSON value of this length begins with an n.
  return end - start === UNDEFINED.length && bytes[start] === UNDEFINED[0] && bytes[end - 1] === UNDEFINED[UNDEFINED.length - 1];
}

/** Any JSON value; undefined is an empty body. */
export const json: MessageCodec = {
  encode(output: ByteWriter, message: unknown) {
    if (message === undefined) return;
    const text = JSON.stringify(message);
    if (text === undefined) throw new TypeError(`a ${typeof message} has no JSON form`);
    output.text(text);
  },
  decode: (bytes, start, end, maxObjects) => (isUndefined(bytes, start, end) ? undefined : parseJson(bytes, start, end, maxObjects)),
};

/** A message of a Protobuf schema, in the binary form. */
export function protobufBody<Desc extends DescMessage>(schema: Desc): MessageCodec<MessageInitShape<Desc>> {
  return protobufCodec(schema);
}

/** The same message in JSON as Go's encoding/json reads it: the field names of the .proto file, numbers for enums, no field left out. */
export function protobufJsonBody<Desc extends DescMessage>(schema: Desc): MessageCodec<MessageInitShape<Desc>> {
  return {
    encode: (output, message) =>
      output.text(toJsonString(schema, messageOf(schema, message), { alwaysEmitImplicit: true, useProtoFieldName: true, enumAsInteger: true })),
    decode: (bytes, start, end, maxObjects) =>
      fromJsonString(schema, jsonText(bytes, start, end, maxObjects) || '{}', { ignoreUnknownFields: true }) as MessageInitShape<Desc>,
    describe: () => describeSchema(schema),
  };
}

function messageOf<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>): MessageShape<Desc> {
  return isMessage(message, schema) ? (message as MessageShape<Desc>) : create(schema, message);
}
