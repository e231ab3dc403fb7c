// @ts-check
/**
 * gRPC in JavaScript, with the same Protobuf library as getty, so that the rpc is compared and not
 * the codec.
 */
import { promisify } from 'node:util';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { ItemCount, ItemSource } from '../items.mjs';
import { answer, TestReplySchema, TestRequestSchema, TIMEOUT } from '../message.mjs';
import { DOWNLOAD, STREAM_SERVICE, UPLOAD } from '../stream-service.mjs';

/** @typedef {import('../message.mjs').Item} Item */
/** @typedef {import('../message.mjs').Reply} Reply */
const PATH = '/TestService/Test';
const DOWNLOAD_PATH = `/${STREAM_SERVICE}/${DOWNLOAD}`;
const UPLOAD_PATH = `/${STREAM_SERVICE}/${UPLOAD}`;
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

/** @param {string} path @param {boolean} requestStream @param {boolean} responseStream */
function method(path, requestStream, responseStream) {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: encodeRequest,
    requestDeserialize: decodeRequest,
    responseSerialize: encodeReply,
    responseDeserialize: decodeReply,
  };
}

/**
 * Writes all items. It waits while the buffer of the stream is full.
 * @param {import('node:stream').Writable} stream
 * @param {ItemSource} source
 */
function writeAll(stream, source) {
  const write = () => {
    for (let item = source.next(); item !== undefined; item = source.next())
      if (!stream.write(item)) return stream.once('drain', write);
    return stream.end();
  };
  write();
}

export async function serve() {
  const server = new Server();
  server.addService(
    { Test: method(PATH, false, false) },
    {
      Test: (/** @type {any} */ call, /** @type {any} */ callback) =>
        callback(null, answer(call.request)),
    },
  );
  server.addService(
    {
      [DOWNLOAD]: method(DOWNLOAD_PATH, false, true),
      [UPLOAD]: method(UPLOAD_PATH, true, false),
    },
    {
      [DOWNLOAD]: (/** @type {any} */ call) =>
        writeAll(call, new ItemSource(Number(call.request.A), true)),
      [UPLOAD]: (/** @type {any} */ call, /** @type {any} */ callback) => {
        const count = new ItemCount();
        call
          .on('data', (/** @type {Item} */ item) => count.add(item))
          .on('end', () => callback(null, count.total()));
      },
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
  /** @type {import('../message.mjs').Client['download']} */
  const download = (seconds, onItem) =>
    new Promise((resolve, reject) => {
      const request = { A: String(seconds) };
      client
        .makeServerStreamRequest(DOWNLOAD_PATH, encodeRequest, decodeReply, request)
        .on('data', onItem)
        .on('error', reject)
        .on('end', resolve);
    });
  /** @type {import('../message.mjs').Client['upload']} */
  const upload = (source) =>
    new Promise((resolve, reject) => {
      const stream = client.makeClientStreamRequest(
        UPLOAD_PATH,
        encodeRequest,
        decodeReply,
        (error, reply) => {
          if (error === null && reply !== undefined) resolve(reply);
          else reject(error);
        },
      );
      writeAll(stream, source);
    });
  return { call, download, upload, close: () => client.close() };
}
