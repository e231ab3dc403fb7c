/**
 * The names of the transport's options. The compiler compares each set with its type, so a new
 * option does not compile until it is listed here.
 */
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import { type Address, rejectsTls } from './address.js';
import type {
  BehindProxyOptions,
  ClientOptions,
  EventListener,
  HealthCheck,
  ProtocolSetup,
  RateInOptions,
  RateOptions,
  RateOutOptions,
  ReconnectOptions,
  SendOptions,
  ServerOptions,
  ServerSocketOptions,
  SessionOptions,
  SessionSetup,
  SocketOptions,
  StartTlsOptions,
  TlsIdentity,
  TlsOptions,
  UdpOptions,
  UnixOptions,
  WebSocketOptions,
} from './types.js';

export const SESSION_OPTION_NAMES = {
  name: true,
  maxMessageBytes: true,
  cronPeriod: true,
  idleTimeout: true,
  messageTimeout: true,
  allowHalfOpen: true,
  waitTime: true,
  highWaterMark: true,
  maxQueuedBytes: true,
  maxHandling: true,
  taskPool: true,
  compression: true,
  maxInflatedBytes: true,
  rate: true,
} satisfies NamesOf<SessionOptions>;

const PROTOCOL_NAMES = { codec: true, listener: true } satisfies NamesOf<ProtocolSetup<unknown>>;

const SETUP_NAMES = { ...PROTOCOL_NAMES, ...SESSION_OPTION_NAMES } satisfies NamesOf<
  SessionSetup<unknown>
>;

export const EVENT_NAMES = {
  onOpen: true,
  onMessage: true,
  onError: true,
  onEnd: true,
  onClose: true,
  onCron: true,
} satisfies NamesOf<EventListener<unknown>>;

export const SEND_OPTION_NAMES = { timeout: true, signal: true } satisfies NamesOf<SendOptions>;

export const SERVER_OPTION_NAMES = {
  maxSessions: true,
  maxSessionsPerAddress: true,
  behindProxy: true,
  allow: true,
  deny: true,
  onRefused: true,
  tls: true,
  handshakeTimeout: true,
  socket: true,
  udp: true,
  unix: true,
  websocket: true,
  rate: true,
} satisfies NamesOf<ServerOptions>;

export const CLIENT_OPTION_NAMES = {
  connections: true,
  connectTimeout: true,
  reconnect: true,
  onState: true,
  tls: true,
  socket: true,
  udp: true,
  websocket: true,
  proxy: true,
  signal: true,
  rate: true,
} satisfies NamesOf<ClientOptions>;

const RECONNECT_NAMES = {
  initialDelay: true,
  maxDelay: true,
  maxAttempts: true,
  retryFirst: true,
} satisfies NamesOf<ReconnectOptions>;

const WEBSOCKET_NAMES = {
  protocols: true,
  compression: true,
  maxCompressBytes: true,
  text: true,
  allowOrigin: true,
  allowHost: true,
  health: true,
  headers: true,
} satisfies NamesOf<WebSocketOptions>;

const HEALTH_NAMES = { path: true, isHealthy: true } satisfies NamesOf<HealthCheck>;

const UDP_NAMES = {
  maxDatagramBytes: true,
  amplification: true,
  connectPing: true,
  broadcast: true,
  multicast: true,
  multicastInterface: true,
  multicastTtl: true,
  multicastLoopback: true,
} satisfies NamesOf<UdpOptions>;

export const SOCKET_NAMES = {
  keepAlive: true,
  keepAliveDelay: true,
  noDelay: true,
  receiveBufferBytes: true,
  sendBufferBytes: true,
} satisfies NamesOf<SocketOptions>;

export const SERVER_SOCKET_NAMES = {
  ...SOCKET_NAMES,
  backlog: true,
  ipv6Only: true,
  reusePort: true,
} satisfies NamesOf<ServerSocketOptions>;

const UNIX_NAMES = { mode: true, group: true } satisfies NamesOf<UnixOptions>;

const TLS_NAMES = {
  cert: true,
  key: true,
  passphrase: true,
  ca: true,
  clientCertificate: true,
  serverName: true,
  hosts: true,
  allowPlain: true,
  minVersion: true,
  reloadPeriod: true,
} satisfies NamesOf<TlsOptions>;

/** The names in one entry of TlsOptions.hosts. */
export const TLS_IDENTITY_NAMES = {
  cert: true,
  key: true,
  passphrase: true,
} satisfies NamesOf<TlsIdentity>;

export const BEHIND_PROXY_NAMES = {
  trusted: true,
  header: true,
} satisfies NamesOf<BehindProxyOptions>;
const { reloadPeriod: _, allowPlain: __, ...CONNECTION_TLS_NAMES } = TLS_NAMES;
const START_TLS_NAMES = {
  ...CONNECTION_TLS_NAMES,
  handshakeTimeout: true,
} satisfies NamesOf<StartTlsOptions>;

const RATE_NAMES = { in: true, out: true } satisfies NamesOf<RateOptions>;
const RATE_OUT_NAMES = {
  messages: true,
  bytes: true,
  burst: true,
} satisfies NamesOf<RateOutOptions>;
const RATE_IN_NAMES = { ...RATE_OUT_NAMES, over: true } satisfies NamesOf<RateInOptions>;

/** Options that belong to another argument, by that argument: for the error message. */
const MISPLACED_IN_SETUP = {
  'serve(), its third argument': SERVER_OPTION_NAMES,
  'connect(), its third argument': CLIENT_OPTION_NAMES,
  websocket: WEBSOCKET_NAMES,
};
const MISPLACED_IN_USE = { 'the setup of serve() and connect()': SESSION_OPTION_NAMES };
const MISPLACED_IN_SERVE = {
  'the setup, the second argument': SETUP_NAMES,
  'connect()': CLIENT_OPTION_NAMES,
  behindProxy: BEHIND_PROXY_NAMES,
  socket: SERVER_SOCKET_NAMES,
  tls: TLS_NAMES,
  udp: UDP_NAMES,
  unix: UNIX_NAMES,
  websocket: WEBSOCKET_NAMES,
};
const MISPLACED_IN_CONNECT = {
  'the setup, the second argument': SETUP_NAMES,
  'serve()': SERVER_OPTION_NAMES,
  reconnect: RECONNECT_NAMES,
  socket: SOCKET_NAMES,
  tls: TLS_NAMES,
  udp: UDP_NAMES,
  websocket: WEBSOCKET_NAMES,
};

/** Throws BAD_OPTION. */
export function checkSetupNames(setup: object): void {
  checkNames('the setup', setup, SETUP_NAMES, MISPLACED_IN_SETUP);
}

/** For Session.use(). Throws BAD_OPTION. */
export function checkProtocolNames(protocol: object): void {
  checkNames('use()', protocol, PROTOCOL_NAMES, MISPLACED_IN_USE);
}

/** Throws BAD_OPTION. */
export function checkStartTlsNames(options: StartTlsOptions): void {
  checkNames('startTls()', options, START_TLS_NAMES);
}

/** Throws BAD_OPTION, also for `tls` if the transport of no address encrypts. */
export function checkServerNames(
  options: ServerOptions | undefined,
  addresses: readonly Address[],
): void {
  checkNames('serve()', options, SERVER_OPTION_NAMES, MISPLACED_IN_SERVE);
  checkTlsAddress(options, addresses);
  checkNestedNames(options);
}

/** As checkServerNames(). */
export function checkClientNames(
  options: ClientOptions | undefined,
  addresses: readonly Address[],
): void {
  checkConnectNames(options);
  checkTlsAddress(options, addresses);
  checkNestedNames(options);
}

/** Checks the names of ClientOptions, but not those in its options. Throws BAD_OPTION. */
export function checkConnectNames(options: ClientOptions | undefined): void {
  checkNames('connect()', options, CLIENT_OPTION_NAMES, MISPLACED_IN_CONNECT);
}

function checkTlsAddress(
  options: ServerOptions | ClientOptions | undefined,
  addresses: readonly Address[],
): void {
  const tls = options?.tls;
  const [first] = addresses;
  if (tls === undefined || first === undefined) return;
  if (!addresses.every(({ text, httpServer }) => httpServer !== undefined || rejectsTls(text)))
    return;
  throw badOption(
    'tls',
    tls,
    first.httpServer === undefined
      ? `an address at tls:// or wss:// with it, not ${addresses.map(({ text }) => text).join(', ')}`
      : 'none: the HTTP server has its own certificates',
  );
}

/** Checks the names in the options that are objects. Throws BAD_OPTION. */
export function checkNestedNames(options: (ClientOptions & ServerOptions) | undefined): void {
  const { reconnect, tls, udp, unix, websocket, rate } = options ?? {};
  // resolveReconnect() refuses any other value.
  if (typeof reconnect === 'object' && reconnect !== null)
    checkNames('reconnect', reconnect, RECONNECT_NAMES);
  checkTlsNames(tls);
  checkNames('udp', udp, UDP_NAMES);
  checkNames('unix', unix, UNIX_NAMES);
  checkNames('websocket', websocket, WEBSOCKET_NAMES);
  checkNames('websocket.health', objectOf(websocket?.health), HEALTH_NAMES);
  checkRateNames(rate);
}

/** Throws BAD_OPTION. */
export function checkRateNames(rate: RateOptions | undefined): void {
  checkNames('rate', rate, RATE_NAMES);
  checkNames('rate.in', rate?.in, RATE_IN_NAMES);
  checkNames('rate.out', rate?.out, RATE_OUT_NAMES);
}

/** Undefined for a value that is no object. */
function objectOf(value: unknown): object | undefined {
  return typeof value === 'object' && value !== null ? value : undefined;
}

/** Throws BAD_OPTION. */
export function checkTlsNames(tls: TlsOptions | undefined): void {
  checkNames('tls', tls, TLS_NAMES);
}
