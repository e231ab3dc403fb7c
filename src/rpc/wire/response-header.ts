/**
 * The rpc header of a response, in JSON and Protobuf. Go has the field Error. The fields
 * Code, Metadata, Details and Reason are extensions, which a Go peer ignores.
 */
import { type Bytes, copy, decode, encode, keepable } from '../../core/bytes.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { hasKeys, NO_METADATA } from '../codecs/metadata.js';
import { codeNumber, codeOfNumber, RpcError, type RpcReason, reasonOf } from '../errors.js';
import type { CodecName, Metadata } from '../types.js';
import { fromBase64, toBase64 } from './base64.js';
import { checkKeys, parseObject, readJsonMap, readMapEntry, writeMap } from './header-fields.js';
import { FieldReader, writeTextField, writeVarint } from './varint.js';

/** The number of a header without the field Code. codeOfNumber() makes UNKNOWN of it. */
const NO_CODE = 0;
/** Tags of Protobuf: field number and wire type in one byte. */
const RESPONSE_TAG = { error: 0x0a, code: 0x50, metadata: 0x5a, details: 0x62, reason: 0x6a };

/**
 * Writes the header of a success with `metadata`, or of a failure with the metadata of `error`.
 */
export function writeResponseHeader(
  output: ByteWriter,
  codec: CodecName,
  error: RpcError | undefined,
  metadata: Metadata = NO_METADATA,
): void {
  if (error !== undefined) return writeErrorHeader(output, codec, error);
  if (metadata === NO_METADATA) output.append(OK_HEADER[codec]);
  else if (codec === 'json') output.text(JSON.stringify({ Error: '', Metadata: metadata }));
  else {
    output.append(OK_HEADER.protobuf);
    writeMap(output, RESPONSE_TAG.metadata, metadata);
  }
}

function writeErrorHeader(output: ByteWriter, codec: CodecName, error: RpcError): void {
  // A peer assumes UNKNOWN when there is no code. Without a code, Go sends the same bytes.
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

/** The header of a success without metadata. */
export const OK_HEADER = {
  json: encode('{"Error":""}'),
  protobuf: copy(Uint8Array.of(0x0a, 0x00)),
};

/**
 * True for the header of a success without metadata, and for an empty header. The length is enough
 * to recognize them, because every other header is longer.
 */
export function isPlainSuccess(codec: CodecName, length: number): boolean {
  return length <= OK_HEADER[codec].length;
}

/**
 * The fields of a response header as an RpcError. An empty message: it is the header of a
 * success, or of a failure without a message. Throws when the bytes are not a response header.
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
    codeOfNumber(typeof Code === 'number' ? Code : NO_CODE),
    typeof message === 'string' ? message : '',
    {
      metadata: readJsonMap(metadata),
      details: typeof Details === 'string' ? ownDetails(fromBase64(Details)) : undefined,
      ...reasonOptions(Reason),
    },
  );
}

function readProtobufError(fields: FieldReader): RpcError {
  let message = '';
  let code = NO_CODE;
  let metadata: Record<string, string> | undefined;
  let details: Bytes | undefined;
  let reason = '';
  let keys = 0;
  while (!fields.done) {
    const tag = fields.varint();
    if (tag === RESPONSE_TAG.error) message = fields.text();
    else if (tag === RESPONSE_TAG.code) code = fields.varint();
    else if (tag === RESPONSE_TAG.metadata) {
      checkKeys(++keys);
      metadata = readMapEntry(fields, metadata);
    } else if (tag === RESPONSE_TAG.details) details = fields.bytes();
    else if (tag === RESPONSE_TAG.reason) reason = fields.text();
    else fields.skip(tag);
  }
  return new RpcError(codeOfNumber(code), message, {
    metadata,
    details: ownDetails(details),
    ...reasonOptions(reason),
  });
}

/** A program may keep the error. That must not keep the other bytes of a buffer. */
function ownDetails(bytes: Bytes | undefined): Bytes | undefined {
  return bytes === undefined ? undefined : keepable(bytes, 0, bytes.length);
}

/** The options of an RpcError for a received reason. */
function reasonOptions(value: unknown): { reason: RpcReason | undefined; unsent: boolean } {
  const reason = reasonOf(value);
  return { reason, unsent: reason === 'refused' || reason === 'not-served' };
}
