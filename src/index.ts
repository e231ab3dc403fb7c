/** The transport layer: sessions with a codec and a listener over any connection. */

export type { Bytes } from './core/bytes.js';
export { type ErrorCode, GettyError, type RpcCode } from './core/errors.js';
export type { Logger } from './core/logger.js';
export { ByteReader } from './transport/byte-reader.js';
export { ByteWriter } from './transport/byte-writer.js';
export { CLIENT_DEFAULTS, RECONNECT_DEFAULTS } from './transport/client.js';
export { CloseError } from './transport/close-code.js';
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
} from './transport/codecs.js';
export { connect, serve } from './transport/node.js';
export { SendError } from './transport/outbox.js';
export { RefusedError } from './transport/refused-error.js';
export { SERVER_DEFAULTS } from './transport/server.js';
export { SESSION_DEFAULTS } from './transport/session-options.js';
export { TASK_POOL_DEFAULTS, type TaskPool, type TaskPoolOptions, taskPool } from './transport/task-pool.js';
export type {
  AttributeMap,
  Client,
  ClientOptions,
  ClientState,
  CloseOptions,
  Codec,
  Compression,
  Endpoint,
  EventListener,
  Peer,
  PeerCertificate,
  ReconnectOptions,
  RefusalReason,
  SendOptions,
  SendResult,
  Server,
  ServerOptions,
  Session,
  SessionAttributes,
  SessionOptions,
  SessionSetup,
  SessionStats,
  Setup,
  TlsOptions,
  UdpOptions,
  UnixOptions,
  WebSocketHeaders,
  WebSocketOptions,
  WebSocketRequest,
} from './transport/types.js';
export { UDP_DEFAULTS } from './transport/udp-options.js';
