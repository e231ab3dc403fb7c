/**
 * The interface of message codecs. A codec writes the body of a request or reply. Metadata is in
 * the header.
 */
import type { Bytes } from '../../core/bytes.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';

/** A codec of the wire, for the header and the body of a frame. */
export type CodecName = 'json' | 'protobuf';

/**
 * Text values by key, sent with a call, its reply or its error. Received metadata has no prototype,
 * so every key is from the peer.
 */
export type Metadata = Readonly<Record<string, string>>;

/**
 * Encodes and decodes one kind of message. If encode() or decode() throws, the call fails, and the
 * session stays open.
 */
export interface MessageCodec<T = unknown> {
  /** Appends the encoded message to `output`. */
  encode(output: ByteWriter, message: T): void;
  /**
   * Decodes the message in `bytes` from `start` to `end`. Views of `bytes` stay valid, but keep the
   * whole received chunk in memory: copy the bytes that a message keeps. `maxObjects`: throws
   * instead of making more objects. Default: 100,000.
   */
  decode(bytes: Bytes, start: number, end: number, maxObjects?: number): T;
  /**
   * Returns the description of its messages, for introspection. Optional. If it throws, the
   * description says `failed` as `jsonSchemaOmitted`.
   */
  describe?(): MessageDescription;
}

/** The description of a message. The contract may not know every part of it. */
export interface MessageDescription {
  /** `protobuf`, or the name of the schema library. */
  readonly vendor: string;
  /** The full name of a Protobuf message. */
  readonly type?: string | undefined;
  readonly fields?: readonly FieldDescription[] | undefined;
  /**
   * The JSON Schema, draft 2020-12, of what a caller gives or gets. Absent: the schema's library
   * does not have it, or `jsonSchemaOmitted` says why.
   */
  readonly jsonSchema?: object | undefined;
  /**
   * `failed`: the library cannot convert the schema. `too-large`: it has more than 65,536
   * characters or 80 levels, or all schemas of the answer have more than 400,000 characters or
   * 60,000 values and names.
   */
  readonly jsonSchemaOmitted?: 'failed' | 'too-large' | undefined;
}

/** A field of a Protobuf message. */
export interface FieldDescription {
  readonly name: string;
  readonly number: number;
  /** The type as in a .proto file: `string`, `repeated shop.Item`, `map<string, int32>`. */
  readonly type: string;
  /** The name of the oneof that contains the field. */
  readonly oneof?: string | undefined;
}

/** The codec of one message of a method, for each codec of its contract. */
export type MessageCodecs = Readonly<Partial<Record<CodecName, MessageCodec>>>;
