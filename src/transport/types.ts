/**
 * The transport layer in one file: what a user implements (Codec, EventListener), what a user holds
 * (Session, Server, Client), and the one seam that a transport implements (Connection).
 */

import type { Bytes } from '../core/bytes.js';
import type { GettyError } from '../core/errors.js';
import type { Address } from './address.js';
import type { ByteReader } from './buffers/byte-reader.js';
import type { ByteWriter } from './buffers/byte-writer.js';
import type { RefusalReason, RefusedError } from './refused-error.js';
import type { TaskPool } from './session/task-pool.js';

export type { RefusalReason } from './refused-error.js';

/** Turns bytes into messages and back. One object may serve many sessions if it keeps no state. */
export interface Codec<In, Out = In> {
  /**
   * Take one message off `input`, or return undefined while it is not whole (then take nothing). A
   * view that `input` hands out stays valid for ever: its bytes are never recycled. On a WebSocket
   * `input.text` is true for a text message, whose bytes are UTF-8, and false for a binary one.
   * Throw when this is not the protocol: the error reaches onError and the session closes. It must
   * answer at once: a promise is BAD_FRAME. Bytes that are no message, such as an empty line, may
   * be taken with undefined as the answer.
   */
  read(input: ByteReader, session: Session<In, Out>): In | undefined;
  /**
   * Append the encoded message to `output`. On a WebSocket `output.asText = true` sends it as text,
   * which must be UTF-8, and `false` as binary; other transports ignore that. Throw: nothing is
   * sent, and the writer gets the error. It must answer at once, and must not write to `session`,
   * which throws ENCODE_FAILED there.
   */
  write(output: ByteWriter, message: Out, session: Session<In, Out>): unknown;
}

/**
 * The events of a session. A throw or rejection in any of them reaches onError, never the process;
 * that of a promise of another realm or of a thenable too.
 */
export interface EventListener<In, Out = In> {
  /**
   * The session is open; messages wait until a returned promise settles. Throw or reject to refuse
   * the session.
   */
  onOpen?(session: Session<In, Out>): unknown;
  /** One message. May be async; the next message does not wait for it. */
  onMessage(session: Session<In, Out>, message: In): unknown;
  /**
   * A callback failed (HANDLER_FAILED, with the cause), the peer sent bad bytes, or the connection
   * broke. Without this method a failing callback is a warning of the process (in a browser, an
   * uncaught error of the page); the rest shows in onClose alone. An error that is no GettyError is
   * the cause of one: of the codec BAD_FRAME, of destroy() SESSION_DESTROYED.
   */
  onError?(session: Session<In, Out>, error: GettyError): unknown;
  /**
   * The peer has ended its side, and nothing more comes from it: called once, after its last
   * message. The session closes when all promises of onMessage have settled; with allowHalfOpen it
   * stays open until you close it. A lost connection has no such end.
   */
  onEnd?(session: Session<In, Out>): unknown;
  /** The session is over. Called once, last, for every session whose onOpen was called. */
  onClose?(session: Session<In, Out>): unknown;
  /** Every cronPeriod: the place for heartbeats and idle checks. */
  onCron?(session: Session<In, Out>): unknown;
}

/**
 * Bytes and messages both ways since the session opened. Bytes are those of the codec, before
 * compression.
 */
export interface SessionStats {
  readonly bytesRead: number;
  readonly messagesRead: number;
  readonly bytesWritten: number;
  readonly messagesWritten: number;
}

/** How far a send got. */
export interface SendResult {
  /** Bytes that the message took when encoded. */
  readonly encodedBytes: number;
  /** Bytes of them that the operating system has taken. */
  readonly sentBytes: number;
}

export interface SendOptions {
  /**
   * Milliseconds to wait for the operating system to take the bytes; then SEND_TIMEOUT. Default: no
   * limit.
   */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The types of the values in Session.attributes, by key. Add those of your program:
 * `declare module 'getty-ts' { interface SessionAttributes { user: User } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: programs add to it.
export interface SessionAttributes {}

/**
 * A Map whose values have the types of SessionAttributes. Any other key may be used too; its value
 * is unknown.
 */
export interface AttributeMap extends Map<unknown, unknown> {
  get<const Key>(
    key: Key,
  ): Key extends keyof SessionAttributes ? SessionAttributes[Key] | undefined : unknown;
  set<const Key>(
    key: Key,
    value: Key extends keyof SessionAttributes ? SessionAttributes[Key] : unknown,
  ): this;
}

/** One conversation with one peer. Made by serve() and connect(). */
export interface Session<In, Out = In> extends AsyncDisposable {
  /** Unique in this process. */
  readonly id: number;
  readonly name: string;
  /**
   * `tcp://127.0.0.1:8848`, or another form with the transport's scheme. In a browser, the page's
   * origin.
   */
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly endpoint: Endpoint<In, Out>;
  /** True from the first close() or destroy(), or from the loss of the connection. */
  readonly closed: boolean;
  /**
   * When the peer was last heard, in ms since the epoch; by a clock that nobody sets while the
   * program runs.
   */
  readonly active: number;
  updateActive(): void;
  /**
   * The code with which the peer closed a WebSocket, such as 1000 (normal) or 1001 (going away).
   * Undefined until then, when the peer sent no code, and on other transports.
   */
  readonly closeCode: number | undefined;
  /**
   * The reason that the peer gave with it, in a stranger's words; empty when it gave none.
   * Undefined where no close came.
   */
  readonly closeReason: string | undefined;
  readonly stats: SessionStats;
  /** True: messages may be lost, come twice or in another order (UDP). */
  readonly lossy: boolean;
  /** For the user's own state. */
  readonly attributes: AttributeMap;
  readonly maxMessageBytes: number;
  /**
   * Milliseconds, 0: never. As SessionOptions.idleTimeout; may be set while the session is open.
   * Setting throws BAD_OPTION.
   */
  idleTimeout: number;
  /** Bytes written that the operating system has not taken yet. */
  readonly queuedBytes: number;

  /**
   * The peer has shown who it is, in a way that is up to your protocol: a transport that limits
   * what it sends to strangers (a UDP server, see UdpOptions.amplification) does so no more. On the
   * others it does nothing.
   */
  trust(): void;
  /**
   * Encode and queue a message; it leaves with the others of this tick. True: go on; false: it is
   * queued, but the high-water mark is passed, so await drained() before more. Throws
   * SESSION_CLOSED, SESSION_BLOCKED (the hard queue limit is reached), MESSAGE_TOO_LARGE,
   * PEER_NOT_TRUSTED (UDP), or the codec's error; then nothing of it is sent.
   */
  write(message: Out): boolean;
  /**
   * As write(), but settles when the operating system has taken the bytes. Rejects with a
   * SendError.
   */
  send(message: Out, options?: SendOptions): Promise<SendResult>;
  /** Queue bytes past the codec; they are copied before this returns. As write() otherwise. */
  writeBytes(bytes: Uint8Array): boolean;
  /** Queue several byte arrays as one; they leave together. */
  writeBytesArray(chunks: readonly Uint8Array[]): boolean;
  /**
   * Settles when the queue is below the high-water mark; rejects with SESSION_CLOSED when the
   * session ends first.
   */
  drained(): Promise<void>;
  /**
   * Take no more messages until resume(); the peer is slowed down by the network's own
   * back-pressure. UDP has none: what comes meanwhile is lost when some 64 KiB wait.
   */
  pause(): void;
  resume(): void;
  /**
   * Send what is queued, tell the peer, take what it still sends, and close: at the latest after
   * waitTime. A WebSocket tells the peer the code and the reason that are given here; other
   * transports have none to tell. Only the first call counts. Throws BAD_OPTION.
   */
  close(options?: CloseOptions): Promise<void>;
  /**
   * Close now; what is queued is lost. An error given here reaches onError; one that is no
   * GettyError is the cause of a SESSION_DESTROYED.
   */
  destroy(error?: Error): void;
}

/** What a WebSocket tells its peer when it closes. */
export interface CloseOptions {
  /**
   * 1000 to 1003, 1007 to 1014, or 3000 to 4999, of which 4000 and above are the application's own.
   * In a browser 1000, or 3000 to 4999. Default: 1000.
   */
  code?: number | undefined;
  /** At most 123 bytes in UTF-8. Default: empty. */
  reason?: string | undefined;
}

/** Options of each session. Times in milliseconds, sizes in bytes. Defaults: SESSION_DEFAULTS. */
export interface SessionOptions {
  name?: string | undefined;
  /**
   * The largest message that is read or written, as encoded bytes. Default: 1 MiB. A message is
   * decoded in one turn of the event loop.
   */
  maxMessageBytes?: number | undefined;
  /** How often onCron is called. */
  cronPeriod?: number | undefined;
  /**
   * Close a session (IDLE_TIMEOUT) that has not heard its peer for so long. 0: never; on a UDP
   * server, 60 s, for a peer does not say that it goes.
   */
  idleTimeout?: number | undefined;
  /**
   * Close a session (MESSAGE_TIMEOUT) that has not ended a message so long after its first bytes.
   * 0: never.
   */
  messageTimeout?: number | undefined;
  /**
   * Stay open when the peer has ended its side (half-closed), so that answers may be written later;
   * close() ends the session. idleTimeout goes on. Streams only: a WebSocket closes both sides at
   * once, and UDP has no end. Default: false.
   */
  allowHalfOpen?: boolean | undefined;
  /** How long close() waits for the queue and the peer before it destroys. */
  waitTime?: number | undefined;
  /** write() answers false while more than this is queued. */
  highWaterMark?: number | undefined;
  /**
   * write() throws SESSION_BLOCKED when this much is queued already. Each send() or drained() that
   * waits counts as 512 bytes more, after the first 64.
   */
  maxQueuedBytes?: number | undefined;
  /** Promises of onMessage that may be pending; the session reads no more until one has settled. */
  maxHandling?: number | undefined;
  /** Runs onMessage with limits of its own, which many sessions may share; see taskPool(). */
  taskPool?: TaskPool | undefined;
  /**
   * One continuous compressor per direction; on WebSocket permessage-deflate, if the peer wants it
   * too (see WebSocketOptions).
   */
  compression?: Compression | undefined;
  /**
   * The most bytes that one received chunk, or message of a WebSocket, may inflate to; more closes
   * the session with INFLATE_LIMIT.
   */
  maxInflatedBytes?: number | undefined;
}

/**
 * `none`; raw DEFLATE at zlib's default level, or at a level from 0 to 9 (-1: zlib's default); or,
 * on streams, snappy's framing format.
 */
export type Compression = 'none' | 'deflate' | { deflate: number } | 'snappy';

/** What a session needs: the codec, the listener, and options that differ from the defaults. */
export interface SessionSetup<In, Out = In> extends SessionOptions {
  codec: Codec<In, Out>;
  listener: EventListener<In, Out>;
}

/**
 * One setup for all sessions, or a function of each new one; throw in it to refuse the session, a
 * RefusedError to choose a WebSocket's HTTP status. It must answer at once: a promise refuses the
 * session too.
 */
export type Setup<In, Out = In> = SessionSetup<In, Out> | ((peer: Peer) => SessionSetup<In, Out>);

/** Who is at the other end of a connection that is about to become a session. */
export interface Peer {
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** The subprotocol that both sides speak (WebSocket). */
  readonly protocol?: string | undefined;
  /**
   * What the peer has shown in the handshake of TLS, verified by its CA; undefined: it has shown
   * none. Ask for it while the connection is new.
   */
  readonly certificate?: PeerCertificate | undefined;
  /** The request that opened a WebSocket, as its server got it: a stranger's words. */
  readonly request?: WebSocketRequest | undefined;
}

export interface PeerCertificate {
  /** The subject's common name; empty when it has none. */
  readonly commonName: string;
  /** The subject's other names: `DNS:agent.example`, `IP Address:10.0.0.7`, `URI:spiffe://…`. */
  readonly altNames: readonly string[];
  /** SHA-256 over the certificate: pairs of hex digits with colons. */
  readonly fingerprint: string;
  /** Hex digits. */
  readonly serialNumber: string;
}

export interface WebSocketRequest {
  /** Path and query. */
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** What owns sessions. `await using` closes it. */
export interface Endpoint<In, Out = In> extends AsyncDisposable {
  readonly id: number;
  readonly type: 'server' | 'client';
  /**
   * The address to reach it at (server), or that it connects to (client); a port 0 is replaced by
   * the real one.
   */
  readonly address: string;
  readonly sessions: ReadonlySet<Session<In, Out>>;
  readonly closed: boolean;
  /** Close every session politely, then release all else. Settles when everything is gone. */
  close(): Promise<void>;
  /** Close everything now. */
  destroy(): void;
}

export interface Server<In, Out = In> extends Endpoint<In, Out> {
  readonly type: 'server';
  /** How many peers were refused since the start, by reason: a copy of the counters. */
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  /** Take no new connections; those that are open go on. Settles when the port is free. */
  stopListening(): Promise<void>;
  /**
   * Use other certificates for new sessions; those that are open go on. What is not given anew
   * stays, and is read again where it is a file: `reloadTls({})` is enough when the files were
   * replaced. Throws BAD_OPTION, also where the address has no TLS; the old ones stay in use then.
   */
  reloadTls(options: TlsOptions): void;
  /**
   * `udp://` only: write to a peer by its address (`udp://10.0.0.7:514`, no names), in its session,
   * which is made when there is none; a session made so is trusted. A broadcast address needs
   * `udp.broadcast`. When the system refuses the datagram, `onError` hears CONNECTION_LOST with the
   * system's error as cause, and the session ends. Answers and throws as Session.write does, and
   * also throws BAD_OPTION (the server is not at `udp://`), BAD_ADDRESS, SESSION_REFUSED (by the
   * setup, or by maxSessions) or ENDPOINT_CLOSED.
   */
  writeTo(message: Out, peer: string): boolean;
}

export interface ServerOptions {
  /**
   * Refuse further peers while so many sessions are open. A session counts until its socket is
   * closed. Handshakes of TLS and WebSocket count too: at most 16 more connections than this may be
   * open. Default: at `tcp://`, `tls://`, `unix://`, `ws://` and `wss://` what the process's limit
   * of open files leaves, where it has one (not on Windows); `udp://`: 10,000; `memory://`: no
   * limit.
   */
  maxSessions?: number | undefined;
  /** The same for the peers of one host, where peers have hosts. Default: no limit. */
  maxSessionsPerAddress?: number | undefined;
  /**
   * Called for each peer that is refused before it has a session, with the reason in
   * `error.reason`. Default: limits and wrong setups are process warnings, at most one a minute.
   * `server.refusals` counts in either case. What it throws is a process warning.
   */
  onRefused?: ((peer: Peer, error: RefusedError) => void) | undefined;
  /** The longest queue of connections that the operating system holds for us. */
  backlog?: number | undefined;
  /**
   * For `tls://` and `wss://`: cert and key are needed. BAD_OPTION at `tcp://`, `ws://` and
   * `udp://`.
   */
  tls?: TlsOptions | undefined;
  /** Milliseconds that a peer has for the handshake of TLS or WebSocket. */
  handshakeTimeout?: number | undefined;
  /** For `udp://`. */
  udp?: UdpOptions | undefined;
  /** For `unix://`: who may connect. */
  unix?: UnixOptions | undefined;
  /** For `ws://` and `wss://`. */
  websocket?: WebSocketOptions | undefined;
}

/**
 * Who may connect to a Unix socket. They hold from the moment at which the path exists. A name that
 * is no file (`unix://@name`) has neither.
 */
export interface UnixOptions {
  /**
   * Permissions of the socket's file, from 0 to 0o777. A peer needs the permission to write.
   * Default: 0o777 without the process's umask.
   */
  mode?: number | undefined;
  /**
   * Number of the group that the file belongs to. Default: that of the process, or of the
   * directory.
   */
  group?: number | undefined;
}

/** Headers of a request by name. */
export type WebSocketHeaders = Readonly<Record<string, string>>;

export interface WebSocketOptions {
  /**
   * Subprotocols: a client offers them in this order, and needs one of them; a server takes the
   * first offer that is among its own.
   */
  protocols?: readonly string[] | undefined;
  /**
   * permessage-deflate, if both sides want it. It is agreed on before a setup function runs;
   * without this option the `compression` of the setup counts, if that is no function.
   */
  compression?: Compression | undefined;
  /**
   * The largest message that permessage-deflate compresses, in bytes; larger messages are sent as
   * they are. Default: 524,288. A message is compressed at once, on the thread of JavaScript: at
   * worst some 10 ms up to the default, then 20 ms for each MiB. Messages of more than 16 KiB are
   * compressed at level 6 at most, and of more than 64 KiB at level 1.
   */
  maxCompressBytes?: number | undefined;
  /**
   * Send messages as text where the codec does not say (see ByteWriter.asText); write() throws
   * ENCODE_FAILED for what is not UTF-8. Both kinds are received. Default: false, binary.
   */
  text?: boolean | undefined;
  /**
   * Of a server: origins, such as `https://example.org`, whose pages may connect besides those of
   * this host, or a function that returns true, or a promise of true, for them. Requests of other
   * pages are answered with status 403. A request without an Origin header does not come from a
   * browser, and is not checked. Default: none.
   */
  allowOrigin?: readonly string[] | ((origin: string) => boolean | Promise<boolean>) | undefined;
  /**
   * Of a server: host names, such as `game.example`, by which pages of the same host reach it, or
   * `'any'`. A page whose origin has the same host as the request's Host header may connect only if
   * that host is one of these names, the host of the server's address, an IP address, `localhost`
   * or a name under `.localhost`. Default: none.
   */
  allowHost?: readonly string[] | 'any' | undefined;
  /**
   * Of a client: more headers of the request, or a function that returns them, or a promise of
   * them, and is called for each attempt. A name or value that HTTP does not allow is a BAD_OPTION.
   * What the function throws is the cause of the attempt's CONNECT_FAILED.
   */
  headers?: WebSocketHeaders | (() => WebSocketHeaders | Promise<WebSocketHeaders>) | undefined;
}

/** Defaults: UDP_DEFAULTS. */
export interface UdpOptions {
  /**
   * The largest datagram that is written, in bytes: a larger message is MESSAGE_TOO_LARGE. The
   * default is all that UDP can carry, 65,507. What is over the MTU of the way (1,472 bytes over
   * Ethernet) travels in fragments, and is lost when one of them is.
   */
  maxDatagramBytes?: number | undefined;
  /**
   * Of a server: a peer that is not trusted gets no more than so many times the bytes, and so many
   * times the datagrams, that it has sent; a write over that throws PEER_NOT_TRUSTED. Default: 1,
   * so that forged datagrams cannot make us flood a third party. Infinity: trust everybody, for
   * networks where addresses cannot be forged. See Session.trust().
   */
  amplification?: number | undefined;
  /**
   * A client opens with the datagram `connect-ping`, as Go getty does, so that the server has the
   * session before the first message. A server takes a datagram `connect-ping` for this opening,
   * and delivers it to no listener. Default: true. False: a client sends no such datagram, and a
   * server delivers it like any other message.
   */
  connectPing?: boolean | undefined;
  /**
   * Permit datagrams to broadcast addresses, such as `udp://192.168.1.255:9000`. Default: false;
   * the system refuses them then.
   */
  broadcast?: boolean | undefined;
  /**
   * Of a server: the IP addresses of the multicast groups to join. Port and interface are those of
   * the server. Default: none.
   */
  multicast?: readonly string[] | undefined;
  /**
   * The interface of multicast groups, both to join them and to send to them: its IPv4 address, or
   * `::%` and its name for IPv6 (`::%eth0`). Default: empty, the system chooses.
   */
  multicastInterface?: string | undefined;
  /**
   * Routers that a datagram to a multicast group may pass, from 0 (this machine) to 255. Default:
   * 1, the local network.
   */
  multicastTtl?: number | undefined;
  /**
   * Whether other sockets of this machine receive what is sent to a multicast group. A server never
   * hears itself. Default: true.
   */
  multicastLoopback?: boolean | undefined;
  /** The operating system's buffers, in bytes. Default: 0, as the system has them. */
  receiveBufferBytes?: number | undefined;
  sendBufferBytes?: number | undefined;
}

/** PEM text or bytes, or the path of a PEM file. What is no good is a BAD_OPTION at the call. */
export interface TlsOptions {
  /** Our certificate, with those between it and its CA. */
  cert?: string | Bytes | undefined;
  key?: string | Bytes | undefined;
  /** The password of the key. */
  passphrase?: string | undefined;
  /**
   * The authorities whose certificates are accepted. Default of a client: those that Node.js knows.
   */
  ca?: string | Bytes | undefined;
  /**
   * Of a server: whether clients must show a certificate of `ca`. Default: required when there is a
   * `ca`.
   */
  clientCertificate?: 'none' | 'required' | undefined;
  /**
   * Of a client: the name that the server's certificate must have, and that is sent as SNI.
   * Default: the address's host.
   */
  serverName?: string | undefined;
  /** Default: TLSv1.2. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  /**
   * Of a server: milliseconds between two looks at the files of `cert`, `key` and `ca`, which are
   * read again when they have changed, as by reloadTls({}). Files that are no good are a warning of
   * the process, and what was in use stays in use. Default: 0, never. A client reads its files at
   * each attempt to connect.
   */
  reloadPeriod?: number | undefined;
}

/**
 * Where a client is: `ready`, it has a session; `connecting`, it has none and an attempt is under
 * way; `down`, it has none and the next attempt is not due (or never will be: reconnect is off, or
 * reconnect.maxAttempts is reached); `closed`, by close() or destroy().
 */
export type ClientState = 'connecting' | 'ready' | 'down' | 'closed';

export interface Client<In, Out = In> extends Endpoint<In, Out> {
  readonly type: 'client';
  readonly state: ClientState;
  /** A live session, in turn when there are several; undefined while there is none. */
  readonly current: Session<In, Out> | undefined;
  /**
   * A live session, in turn when there are several. While none is live it waits for the attempt
   * that is under way, and rejects with the reason of the last failure while the next attempt is
   * not due.
   */
  session(): Promise<Session<In, Out>>;
}

export interface ClientOptions {
  /** How many sessions to keep alive. */
  connections?: number | undefined;
  /** Milliseconds for one attempt: name lookup, connection and handshakes. */
  connectTimeout?: number | undefined;
  /** Connect again when a session is lost; false: never. */
  reconnect?: boolean | ReconnectOptions | undefined;
  /**
   * Told of each new state, for those who balance over several clients; with `down` and
   * `connecting` comes why the last session was lost or the last attempt failed. It is called at
   * once, after the listener's own events. A failure is a warning of the process.
   */
  onState?: ((state: ClientState, reason?: GettyError) => unknown) | undefined;
  /**
   * For `tls://` and `wss://`. The server is always verified; a CA of your own goes here.
   * BAD_OPTION at `tcp://`, `ws://` and `udp://`.
   */
  tls?: TlsOptions | undefined;
  /** For `udp://`. */
  udp?: UdpOptions | undefined;
  /** For `ws://` and `wss://`. */
  websocket?: WebSocketOptions | undefined;
  /**
   * Gives up the first attempt, and with reconnect.retryFirst those that follow it:
   * ABORTED_BY_CALLER.
   */
  signal?: AbortSignal | undefined;
}

/**
 * Delays between attempts, in ms. The first attempt after the loss of a session comes after half of
 * initialDelay to one and a half of it, at random, so that the clients that a server loses at once
 * come back spread over a whole initialDelay. After a failed attempt the delay is random between
 * half of the backoff and the whole; the backoff doubles from initialDelay up to maxDelay.
 */
export interface ReconnectOptions {
  /**
   * Milliseconds. Default: 100. For a server with many clients, as long as it takes to accept all
   * of them.
   */
  initialDelay?: number | undefined;
  /** Milliseconds. Default: 10,000. */
  maxDelay?: number | undefined;
  /**
   * Give up after so many failed attempts in a row; a session that ends within a second counts as
   * one. The client is `down` then, and session() rejects with the last failure. Default: no limit.
   */
  maxAttempts?: number | undefined;
  /**
   * connect() tries again too while its first attempts fail, until one succeeds, maxAttempts is
   * reached, or its signal aborts. A BAD_ADDRESS or a BAD_OPTION rejects at once. Default: false.
   */
  retryFirst?: boolean | undefined;
}

/**
 * How a connection differs from a stream of bytes that is written in portions, such as TCP. A
 * session reads it once, when it is made.
 */
export interface ConnectionCapabilities {
  /** One side may end while the other goes on. Default: false. */
  readonly canHalfOpen?: boolean;
  /**
   * Messages may be lost, or come from another sender than the peer (UDP). A message that cannot be
   * read is reported, and the session goes on. Default: false.
   */
  readonly isLossy?: boolean;
  /**
   * Each message is passed on as it is written, and one call of write() is one message. Default:
   * false, the messages of one tick leave together.
   */
  readonly writesEachMessage?: boolean;
  /**
   * With writesEachMessage: write() copies the bytes, so that the caller may use their buffer again
   * at once. Default: false.
   */
  readonly copiesOnWrite?: boolean;
  /** Milliseconds: the idleTimeout of a session whose setup has none. Default: 0, no timeout. */
  readonly idleTimeout?: number;
}

/**
 * What a transport implements for each connection. It gives what arrives to its ConnectionEvents,
 * and takes what the session writes. Only a session calls it. The optional methods belong to single
 * transports.
 */
export interface Connection extends Peer {
  /** Default: those of a TCP connection that cannot be half-open. */
  readonly capabilities?: ConnectionCapabilities;
  /** Begin to deliver events. Called once. */
  attach(events: ConnectionEvents, limits: MessageLimits): void;
  /** Bytes that were written and that the operating system has not taken. */
  readonly bufferedBytes: number;
  /**
   * Send `bytes`. When bufferedBytes is 0 after the call, the caller may use their buffer again;
   * otherwise they belong to the connection.
   */
  write(bytes: Uint8Array): void;
  pause(): void;
  resume(): void;
  /**
   * Send what was written, then tell the peer that nothing more comes, where possible with the code
   * and reason. Reading goes on.
   */
  end(code?: number, reason?: string): void;
  /** Release everything now. onClose follows. */
  destroy(): void;

  // ---- servers ----

  /**
   * Before attach(): answer the WebSocket request with this HTTP status, then close. A connection
   * without this method is destroyed.
   */
  refuse?(status: number): void;
  /**
   * The session ends before this connection is closed. The connection keeps the session's place in
   * maxSessions until then.
   */
  linger?(): void;

  // ---- WebSocket ----

  /** Throws BAD_OPTION for a code that this transport may not send, though others may. */
  checkCloseCode?(code: number): void;
  /** See Session. */
  readonly closeCode?: number | undefined;
  readonly closeReason?: string | undefined;
  /** Ask the peer for a sign of life: onAlive() follows. Called every cronPeriod. */
  ping?(): void;

  // ---- UDP ----

  /** See Session. */
  trust?(): void;
  /**
   * send() waits for the next message: call onTaken when it has left. Without this method
   * bufferedBytes alone tells.
   */
  requestWriteAck?(): void;

  // ---- connections that gather what arrives (WebSocket, compression) ----

  /**
   * How long the peer has been sending what is incomplete, in ms; 0 when nothing is, and while
   * paused.
   */
  incompleteMessageAge?(): number;

  // ---- connections with messages of their own (WebSocket, UDP): onMessage instead of onData ----

  /**
   * The session is about to append one message to `output`. The connection may reserve room before
   * it.
   */
  beginMessage?(output: ByteWriter): void;
  /**
   * The message that began at `start`, with the reserved room, is complete. The connection
   * completes its frame, or notes where it ends. If this throws, the message is not sent.
   */
  endMessage?(output: ByteWriter, start: number): void;
}

/** What a message transport must not exceed as it takes messages in. */
export interface MessageLimits {
  readonly maxMessageBytes: number;
  readonly maxInflatedBytes: number;
  readonly maxQueuedBytes: number;
}

export interface ConnectionEvents {
  /** Bytes of the stream; they belong to the receiver. */
  onData(bytes: Bytes): void;
  /**
   * One whole message of a message transport; it belongs to the receiver. `text`: whether it is
   * text or binary, where messages have a kind. The message lies between `start` and `end` of
   * `bytes`; without them it is all of it.
   */
  onMessage(bytes: Bytes, text?: boolean, start?: number, end?: number): void;
  /** The peer gave a sign of life that is no message (a pong). */
  onAlive(): void;
  /** The operating system has taken more: bufferedBytes is smaller than before. */
  onTaken(): void;
  /**
   * The peer broke the protocol, and onClose follows: hand over what was written, for it still
   * leaves.
   */
  onClosing?(): void;
  /** The peer sends nothing more. */
  onEnd(): void;
  /** Gone, once, last; with the reason when it was not by plan. */
  onClose(error?: Error): void;
}

/** A transport: how an address of its scheme is listened at and dialled. */
export interface Transport {
  /** The default of ServerOptions.maxSessions; no limit when there is none. */
  readonly maxSessions?: number | undefined;
  listen(
    address: Address,
    options: ListenOptions,
    accept: (connection: Connection) => void,
  ): Promise<Listener>;
  /** Rejects with CONNECT_FAILED and the reason as its cause, or with BAD_OPTION. */
  dial(address: Address, options: ClientOptions, signal: AbortSignal): Promise<Connection>;
}

/** How a transport asks and tells its server about peers that have no session yet. */
export interface Admission {
  /**
   * The error with which to refuse a connection before its handshake, or undefined. Sessions and
   * handshakes count together.
   */
  handshakeLimit(peer: Peer): RefusedError | undefined;
  /** A handshake has begun (1) or ended (-1). */
  countHandshake(peer: Peer, change: 1 | -1): void;
  /**
   * A session has begun (1) or ended (-1). For what keeps the place of a session that is over, such
   * as a socket that is still open.
   */
  countSession(peer: Peer, change: 1 | -1): void;
  /** The transport has refused the peer. */
  refused(peer: Peer, error: RefusedError): void;
  /** Handling what the peer sent threw `error`. The transport closes the connection. */
  fault(peer: Peer, error: unknown): void;
  /** Warns the process, at most once a minute for each code. */
  warnSometimes(error: GettyError): void;
}

/** ServerOptions with their defaults, and the server's own count of its peers. */
export type ListenOptions = ServerOptions &
  Required<Pick<ServerOptions, 'backlog' | 'handshakeTimeout'>> & { readonly admission: Admission };

export interface Listener {
  /** With the real port. */
  readonly address: string;
  /** Settles when the port is free. */
  close(): Promise<void>;
  /**
   * The connection with the peer at `address`, made and accepted when there is none. Throws
   * BAD_ADDRESS or ENDPOINT_CLOSED. Only UDP.
   */
  reach?(address: Address): Connection;
  /** Use other certificates for new sessions. Throws BAD_OPTION. Only where there is TLS. */
  reloadTls?(options: TlsOptions): void;
}
