/** The transport layer: sessions with a codec and a listener over any connection. */

export type { Bytes } from '../core/bytes.js';
export { type ErrorCode, GettyError, type RpcCode } from '../core/errors.js';
export type { Logger } from '../core/logger.js';
export { ByteReader } from './buffers/byte-reader.js';
export { ByteWriter } from './buffers/byte-writer.js';
export { CLIENT_DEFAULTS, RECONNECT_DEFAULTS } from './client/client.js';
export { CloseError } from './close-code.js';
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
} from './codecs/index.js';
export { connect, serve } from './node.js';
export { RATE_DEFAULTS } from './rate/rate-options.js';
export { RefusedError } from './refused-error.js';
export { broadcast } from './rooms/broadcast.js';
export {
  BroadcastError,
  type BroadcastOptions,
  type BroadcastResult,
} from './rooms/broadcast-options.js';
export { TOPICS_DEFAULTS, type Topics, type TopicsOptions, topics } from './rooms/topics.js';
export { SERVER_DEFAULTS } from './server.js';
export { SendError } from './session/send-waiter.js';
export { SESSION_DEFAULTS } from './session/session-options.js';
export {
  TASK_POOL_DEFAULTS,
  type TaskPool,
  type TaskPoolOptions,
  taskPool,
} from './session/task-pool.js';
export { SERVER_SOCKET_DEFAULTS, SOCKET_DEFAULTS } from './socket-options.js';
export { START_TLS_DEFAULTS } from './tls/start-tls.js';
export type {
  AddressRules,
  AttributeMap,
  BehindProxyOptions,
  Client,
  ClientAddress,
  ClientOptions,
  ClientState,
  CloseCallback,
  CloseOptions,
  Codec,
  Compression,
  Endpoint,
  EventListener,
  HealthCheck,
  HttpServer,
  HttpServerAddress,
  MessageEndpoint,
  Peer,
  PeerCertificate,
  PortAddress,
  ProcessWithStdio,
  ProtocolSetup,
  RateInOptions,
  RateOptions,
  RateOutOptions,
  ReconnectOptions,
  RefusalReason,
  SendOptions,
  SendResult,
  Server,
  ServerAddress,
  ServerOptions,
  ServerSocketOptions,
  Session,
  SessionAttributes,
  SessionOptions,
  SessionSetup,
  SessionStats,
  Setup,
  SocketOptions,
  StartTlsOptions,
  StdioAddress,
  StreamPair,
  TlsIdentity,
  TlsOptions,
  UdpOptions,
  UnixOptions,
  WebSocketHeaders,
  WebSocketOptions,
  WebSocketRequest,
} from './types.js';
export { UDP_DEFAULTS } from './udp/udp-options.js';
