// @ts-check
/**
 * gRPC in JavaScript, with the same Protobuf library as getty, so that the rpc is compared and not
 * the codec.
 */
import { promisify } from 'node:util';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { answer, TestReplySchema, TestRequestSchema, TIMEOUT } from '../message.mjs';

/** @typedef {import('../message.mjs').Reply} Reply */
const PATH = '/TestService/Test';
const [encodeRequest, decodeRequest] = codec(TestRequestSchema);
const [encodeReply, decodeReply] = codec(TestReplySchema);

/**
 * @template {import('@bufbuild/protobuf').DescMessage} Desc
 * @param {Desc} schema
 */
function codec(schema) {
  /** @param {import('@bufbuild/protobuf').MessageInitShape<Desc>} message */
  const encode = (message) => {
    const bytes = toBinary(schema, create(schema, message));
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  /** @param {Buffer} bytes */
  const decode = (bytes) => fromBinary(schema, bytes);
  return /** @type {const} */ ([encode, decode]);
}

export async function serve() {
  const server = new Server();
  const method = {
    path: PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeRequest,
    requestDeserialize: decodeRequest,
    responseSerialize: encodeReply,
    responseDeserialize: decodeReply,
  };
  server.addService(
    { Test: method },
    {
      Test: (/** @type {any} */ call, /** @type {any} */ callback) =>
        callback(null, answer(call.request)),
    },
  );
  const port = await promisify(server.bindAsync.bind(server))(
    '127.0.0.1:0',
    ServerCredentials.createInsecure(),
  );
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address) {
  const client = new Client(address, credentials.createInsecure());
  await promisify(client.waitForReady.bind(client))(Date.now() + TIMEOUT);
  const call = (/** @type {import('../message.mjs').Request} */ request) =>
    /** @type {Promise<Reply>} */ (
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          PATH,
          encodeRequest,
          decodeReply,
          request,
          { deadline: Date.now() + TIMEOUT },
          (error, reply) => {
            if (error === null && reply !== undefined) resolve(reply);
            else reject(error);
          },
        );
      })
    );
  return { call, close: () => client.close() };
}
