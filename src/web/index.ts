/**
 * The entry `getty-ts/web`: the client of the transport layer for pages, and servers at message
 * ports. Sessions, codecs and listeners are those of `getty-ts`. It imports no module of Node.js.
 */

export type { Bytes } from '../core/bytes.js';
export { type ErrorCode, GettyError, type RpcCode } from '../core/errors.js';
export { ByteReader } from '../transport/buffers/byte-reader.js';
export { ByteWriter } from '../transport/buffers/byte-writer.js';
export { CLIENT_DEFAULTS, RECONNECT_DEFAULTS } from '../transport/client/client.js';
export { CloseError } from '../transport/close-code.js';
export {
  delimiter,
  fixedLength,
  type JsonLinesOptions,
  jsonLines,
  type LengthPrefixedOptions,
  lengthPrefixed,
  lines,
  mapCodec,
  raw,
  varintPrefixed,
} from '../transport/codecs/index.js';
export { RefusedError } from '../transport/refused-error.js';
export { SERVER_DEFAULTS } from '../transport/server.js';
export { SendError } from '../transport/session/send-waiter.js';
export { SESSION_DEFAULTS } from '../transport/session/session-options.js';
export {
  TASK_POOL_DEFAULTS,
  type TaskPool,
  type TaskPoolOptions,
  taskPool,
} from '../transport/session/task-pool.js';
export type {
  AttributeMap,
  Client,
  ClientState,
  CloseOptions,
  Codec,
  Compression,
  Endpoint,
  EventListener,
  MessageEndpoint,
  Peer,
  PortAddress,
  ProtocolSetup,
  ReconnectOptions,
  RefusalReason,
  SendOptions,
  SendResult,
  Server,
  Session,
  SessionAttributes,
  SessionOptions,
  SessionSetup,
  SessionStats,
  Setup,
} from '../transport/types.js';
export { connect, type WebClientOptions } from './connect.js';
export { serve, type WebServerOptions } from './serve.js';
