/** The answer to a request. A channel uses one Reply for all its answers. */
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
} from './frame.js';
import { writeResponseHeader } from './response-header.js';
import type { CallIds } from './sequence.js';

export class Reply implements CallIds {
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
  /** Bytes of the body that was written last. */
  bodyLength = 0;

  #copyIds(ids: CallIds, serviceId: number): void {
    this.serviceId = serviceId;
    this.sequenceLow = ids.sequenceLow;
    this.sequenceHigh = ids.sequenceHigh;
    this.logIdLow = ids.logIdLow;
    this.logIdHigh = ids.logIdHigh;
  }

  /** Makes this the answer to a heartbeat. */
  setHeartbeat(ids: CallIds & { codec: number }, serviceId: number): void {
    this.#copyIds(ids, serviceId);
    this.#command = COMMAND.heartbeatReply;
    this.#codecNumber = ids.codec;
  }

  /** Makes this the end of a stream of replies, which has a header and no body. */
  setEnd(ids: CallIds, serviceId: number, codec: CodecName): void {
    this.setResponse(ids, serviceId, codec, false);
    this.#command = COMMAND.end;
  }

  /** Makes this the answer to a call. `noReply`: it is a frame header only, also for an error. */
  setResponse(ids: CallIds, serviceId: number, codec: CodecName, noReply: boolean): void {
    this.#copyIds(ids, serviceId);
    this.#command = COMMAND.response;
    this.#codecNumber = CODEC_NUMBER[codec];
    this.#codec = codec;
    this.#noReply = noReply;
    this.#metadata = NO_METADATA;
    this.#error = undefined;
    this.#body = undefined;
    this.#value = undefined;
  }

  /** `largestBody`: bytes. `metadata`: of the success; an RpcError has metadata of its own. */
  setSuccess(
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

  setError(error: RpcError): void {
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
    writeResponseHeader(output, this.#codec, error, this.#metadata);
    if (endSection(output, head) > 0xffff)
      throw new RpcError('INTERNAL', `the error of the handler takes more than ${0xffff} bytes`);
    const body = beginSection(output);
    if (error === undefined && this.#body !== undefined) {
      this.#body.encode(output, this.#value);
      // A Go client rejects an empty JSON body.
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
        `the reply has ${length} bytes; the plain Go protocol allows ${this.#largestBody}`,
      );
    }
    endFrame(output, at);
    this.#value = undefined;
  }
}
