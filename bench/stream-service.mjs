// @ts-check
/**
 * The service of the benchmark that streams, described at run time: its messages are those of the
 * demo's TestService.
 */
import { create, createFileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { TestReplySchema, TestRequestSchema } from './message.mjs';

export const STREAM_SERVICE = 'StreamService';

/** The names of its methods. `Download` streams replies, and `Upload` streams requests. */
export const DOWNLOAD = 'Download';
export const UPLOAD = 'Upload';

const input = `.${TestRequestSchema.typeName}`;
const output = `.${TestReplySchema.typeName}`;

export const StreamService = /** @type {import('@bufbuild/protobuf').DescService} */ (
  createFileRegistry(
    create(FileDescriptorProtoSchema, {
      name: 'stream_service.proto',
      syntax: 'proto3',
      dependency: [TestReplySchema.file.proto.name],
      service: [
        {
          name: STREAM_SERVICE,
          method: [
            { name: DOWNLOAD, inputType: input, outputType: output, serverStreaming: true },
            { name: UPLOAD, inputType: input, outputType: output, clientStreaming: true },
          ],
        },
      ],
    }),
    () => TestReplySchema.file,
  ).getService(STREAM_SERVICE)
);
