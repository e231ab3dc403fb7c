/** Encodes a request: a template per method and codec, then the fields that vary. */
import { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { NULL, UNDEFINED } from '../codecs/json.js';
import { NO_METADATA } from '../codecs/metadata.js';
import { streamsInput } from '../method-kind.js';
import type { Call, CodecName, Method, MethodKind } from '../types.js';
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
  SECTION_BYTES,
} from './frame.js';
import {
  CALL_TYPE,
  writeConstantRequestHeader,
  writeVariableRequestHeader,
} from './request-header.js';
import { FrameIds, NO_SEQUENCE } from './sequence.js';

/**
 * The serviceId in requests and in answers of extended peers. Each peer recognizes the other by it.
 */
export const EXTENDED_REQUEST = 1;
export const EXTENDED_ANSWER = 2;

/** The call types of kinds of methods. All other kinds, streams included, have twoWay. */
const CALL_TYPE_OF: Readonly<Partial<Record<MethodKind, number>>> = {
  oneway: CALL_TYPE.oneWay,
  noReply: CALL_TYPE.twoWayNoReply,
};

/** writeRequest() replaces the sequence and the log id. */
const TEMPLATE_IDS = new FrameIds(EXTENDED_REQUEST, NO_SEQUENCE);

/**
 * The bytes that every request of the method begins with: frame header, length of the header
 * section, constant fields.
 */
export function requestTemplate(
  codec: CodecName,
  { service, version, name, kind }: Pick<Method, 'service' | 'version' | 'name' | 'kind'>,
): Uint8Array {
  const output = new ByteWriter(512);
  beginFrame(output, COMMAND.request, CODE.ok, CODEC_NUMBER[codec], TEMPLATE_IDS);
  beginSection(output);
  writeConstantRequestHeader(
    output,
    codec,
    service,
    name,
    version,
    CALL_TYPE_OF[kind] ?? CALL_TYPE.twoWay,
  );
  return new Uint8Array(output.written);
}

let logId = (Math.random() * 0x1_0000_0000) | 0;

/**
 * The log id of the next call, which distinguishes calls in the logs of the server: a linear
 * congruential generator of 32 bits, with the constants of Numerical Recipes. Math.random() would
 * allocate a number per call.
 */
function nextLogId(): number {
  logId = (Math.imul(logId, 1_664_525) + 1_013_904_223) | 0;
  return logId;
}

/**
 * Appends a request and returns the size of its body in bytes. `extended`: whether the peer is
 * extended; undefined while that is unknown.
 */
export function writeRequest(
  output: ByteWriter,
  call: Call,
  sequenceLow: number,
  sequenceHigh: number,
  extended: boolean | undefined,
): number {
  const { method, codec, metadata } = call;
  const at = output.length;
  output.append(method.templates[codec]);
  const { view } = output;
  view.setInt32(at + 8, sequenceLow, true);
  view.setInt32(at + 12, sequenceHigh, true);
  view.setInt32(at + 16, nextLogId(), true);
  writeVariableRequestHeader(
    output,
    codec,
    // The caller of a oneway method does not wait for the handler.
    method.kind === 'oneway' ? undefined : call.timeout,
    metadata === NO_METADATA ? undefined : metadata,
  );
  if (endSection(output, at + FRAME_HEADER_BYTES) > MAX_HEADER_BYTES)
    throw new RangeError(`the header with its metadata is larger than ${MAX_HEADER_BYTES} bytes`);
  const body = beginSection(output);
  const bodyCodec = method.input[codec];
  if (bodyCodec === undefined)
    throw new TypeError(`${method.service}.${method.name} has no ${codec} form`);
  // The messages of a stream follow in separate frames.
  if (!streamsInput(method.kind)) bodyCodec.encode(output, call.input);
  // A Go server closes the session after an empty JSON body. It reads UNDEFINED, which is `null `
  // with a space, as null; an extended peer reads it as undefined.
  if (extended !== true && codec === 'json' && output.length === body + SECTION_BYTES)
    output.append(extended === false ? NULL : UNDEFINED);
  const bodyLength = endSection(output, body);
  endFrame(output, at);
  return bodyLength;
}
