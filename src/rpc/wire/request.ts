/** How a request becomes bytes: a constant beginning per method and codec, then what varies. */
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
  HEADER_BYTES,
  SECTION_BYTES,
} from './frame.js';
import { CALL_TYPE, constantRequestHead, writeRequestRest } from './header.js';

/**
 * What a TypeScript client puts into serviceId, and what a TypeScript server answers with: each
 * knows the other by it.
 */
export const EXTENDED_REQUEST = 1;
export const EXTENDED_ANSWER = 2;

/** Of the kinds that Go has names for. */
const CALL_TYPE_OF: Readonly<Partial<Record<MethodKind, number>>> = {
  oneway: CALL_TYPE.oneWay,
  noReply: CALL_TYPE.twoWayNoReply,
};

const NO_TAGS = {
  serviceId: EXTENDED_REQUEST,
  sequenceLow: 0,
  sequenceHigh: 0,
  logIdLow: 0,
  logIdHigh: 0,
};

/**
 * The bytes that every request of the method begins with: package header, length of the header
 * section, constant fields.
 */
export function requestTemplate(
  codec: CodecName,
  { service, version, name, kind }: Pick<Method, 'service' | 'version' | 'name' | 'kind'>,
): Uint8Array {
  const output = new ByteWriter(512);
  beginFrame(output, COMMAND.request, CODE.ok, CODEC_NUMBER[codec], NO_TAGS);
  beginSection(output);
  constantRequestHead(
    output,
    codec,
    service,
    name,
    version,
    CALL_TYPE_OF[kind] ?? CALL_TYPE.twoWay,
  );
  return new Uint8Array(output.written);
}

/**
 * Append a whole request and return the bytes of its body. `extended`: whether the peer is;
 * undefined while that is not known.
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
  // The log id only has to tell calls apart in somebody's logs.
  view.setUint32(at + 16, (Math.random() * 0x1_0000_0000) >>> 0, true);
  writeRequestRest(output, codec, call.timeout, metadata === NO_METADATA ? undefined : metadata);
  if (endSection(output, at + HEADER_BYTES) > 0xffff)
    throw new RangeError(`the header with its metadata is larger than ${0xffff} bytes`);
  const body = beginSection(output);
  const bodyCodec = method.input[codec];
  if (bodyCodec === undefined)
    throw new TypeError(`${method.service}.${method.name} has no ${codec} form`);
  // What is streamed follows in packages of its own.
  if (!streamsInput(method.kind)) bodyCodec.encode(output, call.input);
  // An empty JSON body ends the session with a Go server.
  if (extended !== true && codec === 'json' && output.length === body + SECTION_BYTES)
    output.append(extended === false ? NULL : UNDEFINED);
  const bodyLength = endSection(output, body);
  endFrame(output, at);
  return bodyLength;
}
