/**
 * What message codecs have in common: they write the body of a request or of an answer, and its
 * metadata travels beside it.
 */
import type { Bytes } from '../../core/bytes.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';

/** The codecs of the wire, for the header and the body of a package. */
export type CodecName = 'json' | 'protobuf';

/** What travels beside a call. A received one has no prototype, so every key is the peer's own. */
export type Metadata = Readonly<Record<string, string>>;

/**
 * Turns one kind of message into bytes and back. Throw in either: that call fails, the session
 * lives on.
 */
export interface MessageCodec<T = unknown> {
  /** Append the encoded message. */
  encode(output: ByteWriter, message: T): void;
  /**
   * Read a message from `bytes`, from `start` to `end`. Views of them stay valid, and keep the
   * whole chunk that was read: copy what a message keeps. `maxObjects`: throw rather than make more
   * objects of it; undefined: 100,000.
   */
  decode(bytes: Bytes, start: number, end: number, maxObjects?: number): T;
  /** For introspection: what its messages are, where that is known. */
  describe?(): MessageDescription;
}

/** What a message is, as far as its contract says. */
export interface MessageDescription {
  /** `protobuf`, or the library of its schema. */
  readonly vendor: string;
  /** The name of a Protobuf message. */
  readonly type?: string | undefined;
  readonly fields?: readonly FieldDescription[] | undefined;
}

export interface FieldDescription {
  readonly name: string;
  readonly number: number;
  /** As in a .proto file: `string`, `repeated shop.Item`, `map<string, int32>`. */
  readonly type: string;
  /** The oneof that it belongs to. */
  readonly oneof?: string | undefined;
}

/** How one message of a method is written in each codec that its contract has. */
export type MessageCodecs = Readonly<Partial<Record<CodecName, MessageCodec>>>;
