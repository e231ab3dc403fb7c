/**
 * The rpc header of a request, in JSON and Protobuf. Go has the fields 1 to 3. The fields
 * Timeout, Metadata and Version are extensions, which a Go peer ignores.
 */
import { type Bytes, decode } from '../../core/bytes.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import type { CodecName, Metadata } from '../types.js';
import { checkKeys, parseObject, readJsonMap, readMapEntry, writeMap } from './header-fields.js';
import { FieldReader, writeTextField, writeVarint } from './varint.js';

/** Milliseconds. The field Timeout is a uint32. */
export const MAX_TIMEOUT = 0xffff_ffff;

export const CALL_TYPE = { oneWay: 1, twoWay: 2, twoWayNoReply: 3 } as const;
const CALL_TYPE_NAMES = ['CT_UNKNOWN', 'CT_OneWay', 'CT_TwoWay', 'CT_TwoWayNoReply'];

/** Tags of Protobuf: field number and wire type in one byte. */
const REQUEST_TAG = {
  service: 0x0a,
  method: 0x12,
  callType: 0x18,
  timeout: 0x50,
  metadata: 0x5a,
  version: 0x62,
};

export interface RequestHeader {
  readonly service: string;
  readonly method: string;
  readonly callType: number;
  /** Empty: any version. */
  readonly version: string;
  /** Milliseconds until the deadline of the caller. Undefined when the header has none. */
  readonly timeout: number | undefined;
  /** Undefined when the header has none. */
  readonly metadata: Metadata | undefined;
}

/** Writes the fields that are equal in all calls of a method. The variable fields follow them. */
export function writeConstantRequestHeader(
  output: ByteWriter,
  codec: CodecName,
  service: string,
  method: string,
  version: string,
  callType: number,
): void {
  if (codec === 'json') {
    const fields: Record<string, string | undefined> = {
      Service: service,
      Method: method,
      CallType: CALL_TYPE_NAMES[callType],
      Version: version || undefined,
    };
    output.text(JSON.stringify(fields).slice(0, -1));
    return;
  }
  writeTextField(output, REQUEST_TAG.service, service);
  writeTextField(output, REQUEST_TAG.method, method);
  output.uint8(REQUEST_TAG.callType);
  output.uint8(callType);
  if (version !== '') writeTextField(output, REQUEST_TAG.version, version);
}

/** Writes the fields that vary from call to call, and the end of the header. */
export function writeVariableRequestHeader(
  output: ByteWriter,
  codec: CodecName,
  timeout: number | undefined,
  metadata: Metadata | undefined,
): void {
  if (codec === 'json') {
    if (timeout !== undefined) output.text(`,"Timeout":${timeout}`);
    if (metadata !== undefined) output.text(`,"Metadata":${JSON.stringify(metadata)}`);
    output.uint8(0x7d);
    return;
  }
  if (timeout !== undefined) {
    output.uint8(REQUEST_TAG.timeout);
    writeVarint(output, timeout);
  }
  if (metadata !== undefined) writeMap(output, REQUEST_TAG.metadata, metadata);
}

/** Throws when the bytes are not a request header. */
export function readRequestHeader(
  codec: CodecName,
  bytes: Bytes,
  start: number,
  end: number,
): RequestHeader {
  return codec === 'json'
    ? readJsonRequest(decode(bytes, start, end))
    : readProtobufRequest(new FieldReader(bytes, start, end));
}

function readJsonRequest(text: string): RequestHeader {
  const header = parseObject(text);
  const { Service, Method, CallType, Version, Timeout, Metadata: metadata } = header;
  const callType = typeof CallType === 'string' ? CALL_TYPE_NAMES.indexOf(CallType) : CallType;
  if (typeof Service !== 'string' || typeof Method !== 'string' || typeof callType !== 'number') {
    throw new TypeError('Service and Method must be strings and CallType a known call type');
  }
  return {
    service: Service,
    method: Method,
    callType,
    version: typeof Version === 'string' ? Version : '',
    timeout:
      typeof Timeout === 'number' && Timeout >= 0 && Timeout <= MAX_TIMEOUT ? Timeout : undefined,
    metadata: readJsonMap(metadata),
  };
}

function readProtobufRequest(fields: FieldReader): RequestHeader {
  let service = '';
  let method = '';
  let callType = 0;
  let version = '';
  let timeout: number | undefined;
  let metadata: Record<string, string> | undefined;
  let keys = 0;
  while (!fields.done) {
    const tag = fields.varint();
    if (tag === REQUEST_TAG.service) service = fields.text();
    else if (tag === REQUEST_TAG.method) method = fields.text();
    else if (tag === REQUEST_TAG.callType) callType = fields.varint();
    else if (tag === REQUEST_TAG.timeout) timeout = fields.varint();
    else if (tag === REQUEST_TAG.version) version = fields.text();
    else if (tag === REQUEST_TAG.metadata) {
      checkKeys(++keys);
      metadata = readMapEntry(fields, metadata);
    } else fields.skip(tag);
  }
  return { service, method, callType, version, timeout, metadata };
}
