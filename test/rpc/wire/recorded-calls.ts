/** Decodes, encodes and repeats the calls that were recorded from Go programs. */
import { constants, inflateRawSync } from 'node:zlib';
import { expect } from 'vitest';
import type { CodecName, Method } from '../../../src/rpc/index.js';
import { Answer } from '../../../src/rpc/wire/answer.js';
import {
  beginFrame,
  beginSection,
  CODE,
  endFrame,
  endSection,
  Frame,
  readFrame,
} from '../../../src/rpc/wire/frame.js';
import {
  readRequestHeader,
  writeConstantRequestHeader,
  writeVariableRequestHeader,
} from '../../../src/rpc/wire/request-header.js';
import { isPlainSuccess, readResponseError } from '../../../src/rpc/wire/response-header.js';
import { ByteReader } from '../../../src/transport/buffers/byte-reader.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';
import { TestService, type TestStub } from '../../fixtures/rpc.js';
import type { Fields } from '../../fixtures/rpc-frames.js';

const MAX_FRAME_BYTES = 4 * 1024 * 1024;
export const TO_SERVER = 'client-to-server';
export const TO_CLIENT = 'server-to-client';
const methodNamed = (name: string): Method =>
  [...TestService.methods.values()].find((method) => method.name === name) as Method;
export const join = (low: number, high: number): bigint =>
  (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
export const codecName = (number: number): CodecName => (number === 1 ? 'json' : 'protobuf');
export const inflate = (bytes: Buffer): Buffer =>
  inflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH });

export function decode(bytes: Buffer): Frame {
  const input = new ByteReader();
  input.feed(bytes);
  const frame = new Frame();
  expect(readFrame(input, frame, MAX_FRAME_BYTES)).toBe(true);
  expect(input.length).toBe(0);
  return frame;
}

/** Decodes the header and the body of `frame`, and encodes them again. */
export function encodeAgain(frame: Frame, methods: ReadonlyMap<string, Method>): Buffer {
  const output = new ByteWriter();
  const codec = codecName(frame.codec);
  if (frame.command === 3) {
    const head = readRequestHeader(codec, frame.bytes, frame.headerStart, frame.headerEnd);
    const body = methodNamed(head.method).input[codec];
    const at = beginFrame(output, frame.command, frame.code, frame.codec, frame);
    const headAt = beginSection(output);
    writeConstantRequestHeader(
      output,
      codec,
      head.service,
      head.method,
      head.version,
      head.callType,
    );
    writeVariableRequestHeader(output, codec, head.timeout, head.metadata);
    endSection(output, headAt);
    const bodyAt = beginSection(output);
    body?.encode(output, body.decode(frame.bytes, frame.bodyStart, frame.bodyEnd));
    endSection(output, bodyAt);
    endFrame(output, at);
  } else if (frame.command === 4) {
    const answer = new Answer();
    answer.setResponse(frame, frame.serviceId, codec, false);
    const body = methods.get(`${join(frame.sequenceLow, frame.sequenceHigh)}`)?.output[codec];
    const failed =
      frame.code !== CODE.ok || !isPlainSuccess(codec, frame.headerEnd - frame.headerStart);
    if (failed)
      answer.setError(readResponseError(codec, frame.bytes, frame.headerStart, frame.headerEnd));
    else
      answer.setSuccess(
        body,
        body?.decode(frame.bytes, frame.bodyStart, frame.bodyEnd),
        MAX_FRAME_BYTES,
      );
    answer.write(output);
  } else if (frame.command === 2) {
    const answer = new Answer();
    answer.setHeartbeatAnswer(frame, frame.serviceId);
    answer.write(output);
  } else beginFrame(output, frame.command, frame.code, frame.codec, frame);
  return output.bytes.subarray(0, output.length);
}

/** The method of each recorded call, by sequence. */
export function methodsOf(frames: readonly Buffer[]): Map<string, Method> {
  const calls = frames.map(decode).filter(({ command }) => command === 3);
  return new Map(
    calls.map((frame) => [
      `${join(frame.sequenceLow, frame.sequenceHigh)}`,
      methodNamed(
        readRequestHeader(codecName(frame.codec), frame.bytes, frame.headerStart, frame.headerEnd)
          .method,
      ),
    ]),
  );
}

/** Repeats the call of a recorded request. Resolves with its reply or with its code and message. */
export function callAgain(stub: TestStub, frame: Fields): Promise<unknown> {
  const codec = codecName(frame.codec);
  const { method } = readRequestHeader(codec, frame.head, 0, frame.head.length);
  const input = methodNamed(method).input[codec]?.decode(frame.body, 0, frame.body.length);
  const call = stub[method.toLowerCase() as keyof TestStub] as (input: unknown) => Promise<unknown>;
  return call(input).catch((error: Error & { code: string }) => ({
    code: error.code,
    message: error.message,
  }));
}

/**
 * Compares our request with the recorded one. Ours has another sequence, and additional header
 * fields that Go ignores.
 */
export function expectSameRequest(ours: Fields, recorded: Fields): void {
  const pick = ({ magic, command, code, codec }: Fields): object => ({
    magic,
    command,
    code,
    codec,
  });
  expect(pick(ours)).toEqual(pick(recorded));
  expect(ours.body.toString('hex')).toBe(recorded.body.toString('hex'));
  expect(ours.packageLength).toBe(ours.head.length + ours.body.length + 4);
  expect(ours.serviceId).toBe(1);
  expect(ours.sequence & 1n).toBe(1n);
  if (recorded.codec === 1) {
    const { Timeout, Metadata, Version, ...rest } = JSON.parse(ours.head.toString()) as Record<
      string,
      unknown
    >;
    expect(JSON.stringify(rest)).toBe(recorded.head.toString());
    expect(Version).toBe('v1.0');
  } else {
    expect(ours.head.subarray(0, recorded.head.length).toString('hex')).toBe(
      recorded.head.toString('hex'),
    );
    const rest = readRequestHeader('protobuf', ours.head, recorded.head.length, ours.head.length);
    expect(rest).toMatchObject({ service: '', method: '', callType: 0, version: 'v1.0' });
  }
}

/** The outcomes of the recorded calls, by method. */
export const OUTCOMES: Record<string, object | undefined> = {
  Test: { A: 'aaa, bbb, ccc' },
  Add: { Sum: 11 },
  Err: { code: 'UNKNOWN', message: 'this is a error test' },
  Event: undefined,
};
