/**
 * The exports of rpc that Node.js and browsers share. Not here: connect(), serve(), jwt(), and the
 * contracts that need `@bufbuild/protobuf`.
 */
export type { Logger } from '../core/logger.js';
export {
  Admin,
  type CloseSessionReply,
  type CloseSessionRequest,
  type EntrySelector,
  type WeightRequest,
} from './admin/admin.js';
export { type MessageClass, type MethodClasses, messageClass } from './codecs/message-class.js';
export { type ContractOptions, implement } from './contract/contract.js';
export {
  clientStream,
  duplex,
  type MethodOptions,
  noReply,
  oneway,
  type StreamOptions,
  serverStream,
  unary,
} from './contract/method.js';
export type {
  MethodSchemas,
  SchemaInput,
  SchemaOutput,
  StandardIssue,
  StandardJsonSchema,
  StandardProps,
  StandardResult,
  StandardSchemaV1,
} from './contract/standard-schema.js';
export { makeStub } from './contract/stub.js';
export { type RpcCode, RpcError, type RpcErrorDetail, type RpcReason } from './errors.js';
export { compose } from './interceptor-chain.js';
export {
  type Authenticate,
  type AuthOptions,
  auth,
  bearer,
  type Credentials,
} from './interceptors/auth.js';
export { isReceived } from './interceptors/call-info.js';
export {
  CIRCUIT_BREAKER_DEFAULTS,
  type CircuitBreakerOptions,
  type CircuitState,
  circuitBreaker,
} from './interceptors/circuit-breaker.js';
export {
  ADAPTIVE_LIMIT_DEFAULTS,
  type AdaptiveLimitOptions,
  adaptiveLimit,
} from './interceptors/concurrency/adaptive-limit.js';
export {
  CONCURRENCY_LIMIT_DEFAULTS,
  type ConcurrencyLimitOptions,
  concurrencyLimit,
} from './interceptors/concurrency/concurrency-limit.js';
export {
  type CallLine,
  LOGGING_DEFAULTS,
  type LoggingOptions,
  logging,
} from './interceptors/logging.js';
export {
  RATE_LIMIT_DEFAULTS,
  type RateLimitOptions,
  rateLimit,
} from './interceptors/rate-limit.js';
export { RETRY_DEFAULTS, type RetryOptions, retry } from './interceptors/retry.js';
export {
  RETRY_BUDGET_DEFAULTS,
  RetryBudget,
  type RetryBudgetOptions,
} from './interceptors/retry-budget.js';
export { timeout } from './interceptors/timeout.js';
export { Histogram } from './metrics/histogram.js';
export {
  type DescriptorsReport,
  type DescriptorsRequest,
  Introspection,
  type MethodDescription,
  type ServiceDescription,
  type ServicesRequest,
} from './metrics/introspection.js';
export { type LatencyCounts, percentileBetween } from './metrics/latency-buckets.js';
export type {
  EventLoopDelay,
  ProcessStatus,
  ProviderState,
  ProviderStatus,
  PublishedEntry,
  ServerStatus,
} from './metrics/server-status.js';
export type { SessionReport, SessionsReport, SessionsRequest } from './metrics/session-report.js';
export type {
  LatencyReport,
  MethodReport,
  StatisticsReport,
  StatisticsRequest,
} from './metrics/statistics-report.js';
export { RPC_DEFAULTS } from './options.js';
export type {
  Call,
  Callback,
  CallContext,
  CallCounts,
  CallOptions,
  Channel,
  CodecName,
  Contract,
  FieldDescription,
  Handlers,
  HandlersOf,
  Identity,
  InputOf,
  Interceptor,
  Invoke,
  LatencyStatistics,
  MessageCodec,
  MessageDescription,
  Messages,
  Metadata,
  Method,
  MethodKind,
  MethodSpec,
  MethodSpecs,
  MethodStatistics,
  OutputOf,
  PeerStatistics,
  Replies,
  RpcClient,
  RpcClientOptions,
  RpcOptions,
  RpcServer,
  RpcServerOptions,
  RpcStatistics,
  Service,
  Stub,
  StubMethod,
  StubOf,
  StubOptions,
} from './types.js';
