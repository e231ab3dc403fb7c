/**
 * The rpc header of a request and of a response, in JSON and Protobuf. Fields 1 to 3 are Go's; the
 * others (Timeout, Metadata, Version, Code, Details, Reason) are extensions that a Go peer passes
 * over.
 */

import { type Bytes, copy, decode, encode, textBytes } from '../../core/bytes.js';
import { setKey } from '../../core/records.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { parseText } from '../../transport/json-text.js';
import { hasKeys, NO_METADATA } from '../codecs/metadata.js';
import { codeNumber, codeOfNumber, RpcError, type RpcReason, reasonOf } from '../errors.js';
import type { CodecName, Metadata } from '../types.js';
import { fromBase64, toBase64 } from './base64.js';
import { FieldReader, writeTextField, writeVarint } from './varint.js';

export const CALL_TYPE = { oneWay: 1, twoWay: 2, twoWayNoReply: 3 } as const;
const CALL_TYPE_NAMES = ['CT_UNKNOWN', 'CT_OneWay', 'CT_TwoWay', 'CT_TwoWayNoReply'];

/** Field number and wire type, as one byte each. */
const TAG = {
  service: 0x0a,
  method: 0x12,
  callType: 0x18,
  timeout: 0x50,
  metadata: 0x5a,
  version: 0x62,
};
const RESPONSE_TAG = { error: 0x0a, code: 0x50, metadata: 0x5a, details: 0x62, reason: 0x6a };
const MAP_TAG = { key: 0x0a, value: 0x12 };

export interface RequestHead {
  readonly service: string;
  readonly method: string;
  readonly callType: number;
  /** Empty: any. */
  readonly version: string;
  /** Milliseconds that the caller still waits; undefined when it did not say. */
  readonly timeout: number | undefined;
  /** Undefined when none came. */
  readonly metadata: Metadata | undefined;
}

/**
 * The bytes of a request header that are the same for every call of a method; writeRequestRest
 * follows them.
 */
export function constantRequestHead(
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
  writeTextField(output, TAG.service, service);
  writeTextField(output, TAG.method, method);
  output.uint8(TAG.callType);
  output.uint8(callType);
  if (version !== '') writeTextField(output, TAG.version, version);
}

/** The fields that vary from call to call. */
export function writeRequestRest(
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
    output.uint8(TAG.timeout);
    writeVarint(output, timeout);
  }
  if (metadata !== undefined) writeMap(output, TAG.metadata, metadata);
}

/** Throws when the bytes are no request header. */
export function readRequestHead(
  codec: CodecName,
  bytes: Bytes,
  start: number,
  end: number,
): RequestHead {
  return codec === 'json'
    ? readJsonRequest(decode(bytes, start, end))
    : readProtobufRequest(new FieldReader(bytes, start, end));
}

function readJsonRequest(text: string): RequestHead {
  const head = parseObject(text);
  const { Service, Method, CallType, Version, Timeout, Metadata: metadata } = head;
  const callType = typeof CallType === 'string' ? CALL_TYPE_NAMES.indexOf(CallType) : CallType;
  if (typeof Service !== 'string' || typeof Method !== 'string' || typeof callType !== 'number') {
    throw new TypeError('Service and Method must be text and CallType one of the call types');
  }
  return {
    service: Service,
    method: Method,
    callType,
    version: typeof Version === 'string' ? Version : '',
    timeout:
      typeof Timeout === 'number' && Timeout >= 0 && Timeout <= 0xffff_ffff ? Timeout : undefined,
    metadata: readJsonMap(metadata),
  };
}

function readProtobufRequest(fields: FieldReader): RequestHead {
  let service = '';
  let method = '';
  let callType = 0;
  let version = '';
  let timeout: number | undefined;
  let metadata: Record<string, string> | undefined;
  while (!fields.done) {
    const tag = fields.varint();
    if (tag === TAG.service) service = fields.text();
    else if (tag === TAG.method) method = fields.text();
    else if (tag === TAG.callType) callType = fields.varint();
    else if (tag === TAG.timeout) timeout = fields.varint();
    else if (tag === TAG.version) version = fields.text();
    else if (tag === TAG.metadata) metadata = readMapEntry(fields, metadata);
    else fields.skip(tag);
  }
  return { service, method, callType, version, timeout, metadata };
}

/**
 * The header of an answer that succeeded, with `metadata`, or of one that failed with `error` and
 * the error's own.
 */
export function writeResponseHead(
  output: ByteWriter,
  codec: CodecName,
  error: RpcError | undefined,
  metadata: Metadata = NO_METADATA,
): void {
  if (error !== undefined) return writeErrorHead(output, codec, error);
  if (metadata === NO_METADATA) output.append(OK_HEAD[codec]);
  else if (codec === 'json') output.text(JSON.stringify({ Error: '', Metadata: metadata }));
  else {
    output.append(OK_HEAD.protobuf);
    writeMap(output, RESPONSE_TAG.metadata, metadata);
  }
}

function writeErrorHead(output: ByteWriter, codec: CodecName, error: RpcError): void {
  // UNKNOWN is what a peer assumes that is told no code; leaving it out keeps such answers equal to
  // Go's.
  const code = error.code === 'UNKNOWN' ? undefined : codeNumber(error.code);
  const metadata = hasKeys(error.metadata) ? error.metadata : undefined;
  const { details, reason } = error;
  if (codec === 'json') {
    output.text(
      JSON.stringify({
        Error: error.message,
        Code: code,
        Metadata: metadata,
        Details: details && toBase64(details),
        Reason: reason,
      }),
    );
    return;
  }
  writeTextField(output, RESPONSE_TAG.error, error.message);
  if (code !== undefined) {
    output.uint8(RESPONSE_TAG.code);
    writeVarint(output, code);
  }
  if (metadata !== undefined) writeMap(output, RESPONSE_TAG.metadata, metadata);
  if (details !== undefined) {
    output.uint8(RESPONSE_TAG.details);
    writeVarint(output, details.length);
    output.append(details);
  }
  if (reason !== undefined) writeTextField(output, RESPONSE_TAG.reason, reason);
}

const OK_HEAD = { json: encode('{"Error":""}'), protobuf: copy(Uint8Array.of(0x0a, 0x00)) };

/**
 * True for the header of a success, recognised by its length: no other header that a peer sends is
 * so short.
 */
export function isPlainSuccess(codec: CodecName, length: number): boolean {
  return length <= OK_HEAD[codec].length;
}

/**
 * The error in the header of an answer that failed; an empty message is still an error. Throws when
 * the bytes are no response header.
 */
export function readResponseError(
  codec: CodecName,
  bytes: Bytes,
  start: number,
  end: number,
): RpcError {
  return codec === 'json'
    ? readJsonError(decode(bytes, start, end))
    : readProtobufError(new FieldReader(bytes, start, end));
}

function readJsonError(text: string): RpcError {
  const {
    Error: message,
    Code,
    Metadata: metadata,
    Details,
    Reason,
  } = text === '' ? {} : parseObject(text);
  return new RpcError(
    codeOfNumber(typeof Code === 'number' ? Code : 0),
    typeof message === 'string' ? message : '',
    {
      metadata: readJsonMap(metadata),
      details: typeof Details === 'string' ? fromBase64(Details) : undefined,
      ...fateOf(Reason),
    },
  );
}

function readProtobufError(fields: FieldReader): RpcError {
  let message = '';
  let code = 0;
  let metadata: Record<string, string> | undefined;
  let details: Bytes | undefined;
  let reason = '';
  while (!fields.done) {
    const tag = fields.varint();
    if (tag === RESPONSE_TAG.error) message = fields.text();
    else if (tag === RESPONSE_TAG.code) code = fields.varint();
    else if (tag === RESPONSE_TAG.metadata) metadata = readMapEntry(fields, metadata);
    else if (tag === RESPONSE_TAG.details) details = fields.bytes();
    else if (tag === RESPONSE_TAG.reason) reason = fields.text();
    else fields.skip(tag);
  }
  return new RpcError(codeOfNumber(code), message, { metadata, details, ...fateOf(reason) });
}

/** What a reason that came says of the call. */
function fateOf(value: unknown): { reason: RpcReason | undefined; unsent: boolean } {
  const reason = reasonOf(value);
  return { reason, unsent: reason === 'refused' || reason === 'not-served' };
}

function parseObject(text: string): Record<string, unknown> {
  const value: unknown = parseText(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('the header is not a JSON object');
  return value as Record<string, unknown>;
}

/**
 * Keys go into an object without prototype, so that `__proto__` is a key like any other. Undefined
 * when there is none.
 */
function readJsonMap(value: unknown): Metadata | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  let map: Record<string, string> | undefined;
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') continue;
    map ??= Object.create(null) as Record<string, string>;
    setKey(map, key, text);
  }
  return map;
}

function readMapEntry(
  fields: FieldReader,
  into: Record<string, string> | undefined,
): Record<string, string> {
  const map: Record<string, string> = into ?? Object.create(null);
  const bytes = fields.bytes();
  const entry = new FieldReader(bytes, 0, bytes.length);
  let key = '';
  let value = '';
  while (!entry.done) {
    const tag = entry.varint();
    if (tag === MAP_TAG.key) key = entry.text();
    else if (tag === MAP_TAG.value) value = entry.text();
    else entry.skip(tag);
  }
  setKey(map, key, value);
  return map;
}

function writeMap(output: ByteWriter, tag: number, map: Metadata): void {
  for (const [key, value] of Object.entries(map)) {
    output.uint8(tag);
    const keyBytes = textBytes(key);
    const valueBytes = textBytes(value);
    writeVarint(output, 2 + varintSize(keyBytes) + keyBytes + varintSize(valueBytes) + valueBytes);
    writeTextField(output, MAP_TAG.key, key);
    writeTextField(output, MAP_TAG.value, value);
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) size++;
  return size;
}
