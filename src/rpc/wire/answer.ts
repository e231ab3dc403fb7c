/** The answer to a request. A channel uses one Answer for all its answers. */
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { NULL } from '../codecs/json.js';
import { MAX_METADATA_KEYS, NO_METADATA } from '../codecs/metadata.js';
import { RpcError } from '../errors.js';
import type { CodecName, MessageCodec, Metadata } from '../types.js';
import {
  beginFrame,
  beginSection,
  CODE,
  CODEC_NUMBER,
  COMMAND,
  endFrame,
  endSection,
  FRAME_HEADER_BYTES,
  MAX_HEADER_BYTES,
  MAX_PLAIN_BODY_BYTES,
  SECTION_BYTES,
} from './frame.js';
import { OK_HEADER, writeResponseHeader } from './response-header.js';
import { type CallIds, FrameIds, NO_SEQUENCE } from './sequence.js';

export class Answer {
  readonly ids = new FrameIds(0, NO_SEQUENCE);
  #command: number = COMMAND.response;
  #codecNumber = 0;
  #codec: CodecName = 'json';
  #isHeaderOnly = false;
  #metadata: Metadata = NO_METADATA;
  #error: RpcError | undefined;
  #body: MessageCodec | undefined;
  #value: unknown;
  #maxBodyBytes = 0;
  /** Bytes of the body that was written last. */
  bodyLength = 0;

  #copyIds(ids: CallIds, serviceId: number): void {
    const own = this.ids;
    own.serviceId = serviceId;
    own.sequenceLow = ids.sequenceLow;
    own.sequenceHigh = ids.sequenceHigh;
    own.logIdLow = ids.logIdLow;
    own.logIdHigh = ids.logIdHigh;
  }

  /** Makes this a heartbeat answer. */
  setHeartbeatAnswer(ids: CallIds & { codec: number }, serviceId: number): void {
    this.#copyIds(ids, serviceId);
    this.#command = COMMAND.heartbeatAnswer;
    this.#codecNumber = ids.codec;
  }

  /** Makes this the end of a stream of replies, which has a header and no body. */
  setEnd(ids: CallIds, serviceId: number, codec: CodecName): void {
    this.setResponse(ids, serviceId, codec, false);
    this.#command = COMMAND.end;
  }

  /** Makes this the answer to a call. `isHeaderOnly`: it is a frame header, also for an error. */
  setResponse(ids: CallIds, serviceId: number, codec: CodecName, isHeaderOnly: boolean): void {
    this.#copyIds(ids, serviceId);
    this.#command = COMMAND.response;
    this.#codecNumber = CODEC_NUMBER[codec];
    this.#codec = codec;
    this.#isHeaderOnly = isHeaderOnly;
    this.#metadata = NO_METADATA;
    this.#error = undefined;
    this.#body = undefined;
    this.#value = undefined;
  }

  /**
   * `metadata`: the metadata of a success. A failure has the metadata of its error.
   */
  setSuccess(
    body: MessageCodec | undefined,
    value: unknown,
    maxBodyBytes: number,
    metadata: Metadata = NO_METADATA,
  ): void {
    this.#body = body;
    this.#value = value;
    this.#maxBodyBytes = maxBodyBytes;
    this.#metadata = metadata;
  }

  setError(error: RpcError): void {
    this.#error = error;
  }

  /** Forgets the error: an idle session must not keep it, and what its cause refers to. */
  releaseError(): void {
    this.#error = undefined;
  }

  write(output: ByteWriter): void {
    if (this.#command === COMMAND.heartbeatAnswer || this.#isHeaderOnly)
      this.#writeFrameHeader(output);
    else if (this.#error === undefined && this.#metadata === NO_METADATA)
      this.#writePlainSuccess(output);
    else this.#writeOutcome(output);
  }

  #writeFrameHeader(output: ByteWriter): void {
    const isFailure = this.#command !== COMMAND.heartbeatAnswer && this.#error !== undefined;
    const code = isFailure ? CODE.failed : CODE.ok;
    beginFrame(output, this.#command, code, this.#codecNumber, this.ids);
    this.bodyLength = 0;
  }

  /** As #writeOutcome(), for most answers: their bytes before the body have a constant size. */
  #writePlainSuccess(output: ByteWriter): void {
    const header = this.#codec === 'json' ? OK_HEADER.json : OK_HEADER.protobuf;
    const { length } = header;
    const at = beginFrame(
      output,
      this.#command,
      CODE.ok,
      this.#codecNumber,
      this.ids,
      SECTION_BYTES + length + SECTION_BYTES,
    );
    const { view } = output;
    const start = at + FRAME_HEADER_BYTES + SECTION_BYTES;
    view.setUint16(start - SECTION_BYTES, length, true);
    // A native call takes more time than a loop over few bytes.
    for (let i = 0; i < length; i++) view.setUint8(start + i, header[i] as number);
    this.#writeBody(output, start + length);
    endFrame(output, at);
  }

  /** Writes an error, or a success with metadata. */
  #writeOutcome(output: ByteWriter): void {
    const error = this.#error;
    const code = error === undefined ? CODE.ok : CODE.failed;
    const at = beginFrame(output, this.#command, code, this.#codecNumber, this.ids);
    const header = beginSection(output);
    const keys = Object.keys(this.#metadata).length;
    if (keys > MAX_METADATA_KEYS)
      throw tooLarge('replyMetadata', `${keys} keys`, MAX_METADATA_KEYS);
    writeResponseHeader(output, this.#codec, error, this.#metadata);
    const length = endSection(output, header);
    if (length > MAX_HEADER_BYTES) {
      const what = error === undefined ? 'replyMetadata' : 'message, metadata and details';
      throw tooLarge(what, `${length} bytes`, MAX_HEADER_BYTES);
    }
    const body = beginSection(output);
    if (error === undefined) this.#writeBody(output, body);
    else this.bodyLength = endSection(output, body);
    endFrame(output, at);
  }

  /** Writes the section of a success whose length is at `section`, which is reserved. */
  #writeBody(output: ByteWriter, section: number): void {
    if (this.#body !== undefined) {
      this.#body.encode(output, this.#value);
      // A Go client rejects an empty JSON body.
      if (
        this.#maxBodyBytes === MAX_PLAIN_BODY_BYTES &&
        this.#codec === 'json' &&
        output.length === section + SECTION_BYTES
      )
        output.append(NULL);
    }
    const length = endSection(output, section);
    this.bodyLength = length;
    if (length > this.#maxBodyBytes)
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `the reply has ${length} bytes; the plain Go protocol allows ${this.#maxBodyBytes}`,
      );
    this.#value = undefined;
  }
}

function tooLarge(what: string, given: string, most: number): RpcError {
  return new RpcError(
    'INTERNAL',
    `the ${what} of the handler: got ${given}, expected at most ${most}`,
  );
}
