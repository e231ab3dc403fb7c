/** The answer that a channel is about to write. A channel has one and fills it anew for each. */
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { NULL } from '../codecs/json.js';
import { NO_METADATA } from '../codecs/metadata.js';
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
  LARGEST_PLAIN_BODY,
  SECTION_BYTES,
  type Tags,
} from './frame.js';
import { writeResponseHead } from './header.js';

export class Reply implements Tags {
  serviceId = 0;
  sequenceLow = 0;
  sequenceHigh = 0;
  logIdLow = 0;
  logIdHigh = 0;
  #command: number = COMMAND.response;
  #codecNumber = 0;
  #codec: CodecName = 'json';
  #noReply = false;
  #metadata: Metadata = NO_METADATA;
  #error: RpcError | undefined;
  #body: MessageCodec | undefined;
  #value: unknown;
  #largestBody = 0;
  /** Of what was written last. */
  bodyLength = 0;

  #copy(tags: Tags, serviceId: number): void {
    this.serviceId = serviceId;
    this.sequenceLow = tags.sequenceLow;
    this.sequenceHigh = tags.sequenceHigh;
    this.logIdLow = tags.logIdLow;
    this.logIdHigh = tags.logIdHigh;
  }

  heartbeat(tags: Tags & { codec: number }, serviceId: number): void {
    this.#copy(tags, serviceId);
    this.#command = COMMAND.heartbeatReply;
    this.#codecNumber = tags.codec;
  }

  /** The end of a stream of replies: a header, and no body. */
  end(tags: Tags, serviceId: number, codec: CodecName): void {
    this.call(tags, serviceId, codec, false);
    this.#command = COMMAND.end;
  }

  /** `noReply`: the package is its header alone, whatever the outcome. */
  call(tags: Tags, serviceId: number, codec: CodecName, noReply: boolean): void {
    this.#copy(tags, serviceId);
    this.#command = COMMAND.response;
    this.#codecNumber = CODEC_NUMBER[codec];
    this.#codec = codec;
    this.#noReply = noReply;
    this.#metadata = NO_METADATA;
    this.#error = undefined;
    this.#body = undefined;
    this.#value = undefined;
  }

  /** `metadata` travels with a success; an error has its own. */
  success(
    body: MessageCodec | undefined,
    value: unknown,
    largestBody: number,
    metadata: Metadata = NO_METADATA,
  ): void {
    this.#body = body;
    this.#value = value;
    this.#largestBody = largestBody;
    this.#metadata = metadata;
  }

  failure(error: RpcError): void {
    this.#error = error;
  }

  write(output: ByteWriter): void {
    const isCall = this.#command !== COMMAND.heartbeatReply;
    const error = isCall ? this.#error : undefined;
    const at = beginFrame(
      output,
      this.#command,
      error === undefined ? CODE.ok : CODE.failed,
      this.#codecNumber,
      this,
    );
    if (!isCall) return;
    if (this.#noReply) {
      this.bodyLength = 0;
      return;
    }
    const head = beginSection(output);
    writeResponseHead(output, this.#codec, error, this.#metadata);
    if (endSection(output, head) > 0xffff)
      throw new RpcError('INTERNAL', `the error of the handler takes more than ${0xffff} bytes`);
    const body = beginSection(output);
    if (error === undefined && this.#body !== undefined) {
      this.#body.encode(output, this.#value);
      // An empty JSON body is an error to a Go client.
      if (
        this.#largestBody === LARGEST_PLAIN_BODY &&
        this.#codec === 'json' &&
        output.length === body + SECTION_BYTES
      )
        output.append(NULL);
    }
    const length = endSection(output, body);
    this.bodyLength = length;
    if (length > this.#largestBody && error === undefined) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `the reply has ${length} bytes; a peer that speaks the plain Go protocol takes ${this.#largestBody}`,
      );
    }
    endFrame(output, at);
    this.#value = undefined;
  }
}
