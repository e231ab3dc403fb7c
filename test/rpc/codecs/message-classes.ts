/** The messages of the demo as classes of protobufjs and ts-proto. */
import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import protobufjs from 'protobufjs';
import { AddReplySchema } from '../../../demo/test_service_pb.js';
import type { MessageClass } from '../../../src/rpc/index.js';

/** Parses a .proto file with protobufjs. */
const parseProto = (path: string): protobufjs.Root =>
  protobufjs.parse(readFileSync(new URL(path, import.meta.url), 'utf8'), new protobufjs.Root(), {
    keepCase: true,
  }).root;
const demo = parseProto('../../../demo/test_service.proto');

export interface AddRequest {
  A: number;
  B: number;
}
export interface AddReply {
  Sum: number;
}

/**
 * The types as the generator of protobufjs writes them: fields that may be omitted for encode() are
 * present after decode().
 */
export const Request = demo.lookupType('AddRequest') as unknown as MessageClass<
  Partial<AddRequest>,
  AddRequest
>;
export const Reply = demo.lookupType('AddReply') as unknown as MessageClass<
  Partial<AddReply>,
  AddReply
>;

/** A message as ts-proto generates it, with a writer of its own. */
export const TsRequest = {
  encode(
    message: AddRequest,
    writer: protobufjs.Writer = protobufjs.Writer.create(),
  ): protobufjs.Writer {
    if (message.A !== 0) writer.uint32(8).int32(message.A);
    if (message.B !== 0) writer.uint32(16).int32(message.B);
    return writer;
  },
  decode(input: protobufjs.Reader | Uint8Array, length?: number): AddRequest {
    const reader = input instanceof protobufjs.Reader ? input : protobufjs.Reader.create(input);
    const end = length === undefined ? reader.len : reader.pos + length;
    const message: AddRequest = { A: 0, B: 0 };
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag === 8) message.A = reader.int32();
      else if (tag === 16) message.B = reader.int32();
      else reader.skipType(tag & 7);
    }
    return message;
  },
};
export const TsReply = {
  encode(message: AddReply): protobufjs.Writer {
    const writer = protobufjs.Writer.create();
    return message.Sum === 0 ? writer : writer.uint32(8).int32(message.Sum);
  },
  decode(bytes: Uint8Array): AddReply {
    const { Sum = 0 } = fromBinary(AddReplySchema, bytes);
    return { Sum };
  },
};
/** The same message with the JSON form that ts-proto generates by default. */
export const TsRequestWithJson = {
  ...TsRequest,
  toJSON: (message: AddRequest): unknown => ({ A: message.A, B: message.B }),
  fromJSON: (value: { A?: number; B?: number }): AddRequest => ({
    A: value.A ?? 0,
    B: value.B ?? 0,
  }),
};
export const TsReplyWithJson = {
  ...TsReply,
  toJSON: (message: AddReply): unknown => ({ Sum: message.Sum }),
  fromJSON: (value: { Sum?: number }): AddReply => ({ Sum: value.Sum ?? 0 }),
};
