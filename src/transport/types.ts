/**
 * The types of the transport layer. Your program implements Codec and EventListener. serve() and
 * connect() return Server and Client, which have Sessions. A transport implements Connection.
 */

import type { Bytes } from '../core/bytes.js';
import type { GettyError } from '../core/errors.js';
import type {
  Address,
  HttpServer,
  MessageEndpoint,
  ProcessWithStdio,
  StreamPair,
} from './address.js';
import type { ByteReader } from './buffers/byte-reader.js';
import type { ByteWriter } from './buffers/byte-writer.js';
import type { RefusalReason, RefusedError } from './refused-error.js';
import type { TaskPool } from './session/task-pool.js';

export type { HttpServer, MessageEndpoint, ProcessWithStdio, StreamPair } from './address.js';
export type { RefusalReason } from './refused-error.js';

/**
 * Converts bytes to messages and messages to bytes. A codec without state can serve many sessions.
 * Both methods are synchronous.
 *
 * ```ts
 * const bytes8: Codec<Uint8Array> = {
 *   read: (input) => (input.length < 8 ? undefined : input.take(8)),
 *   write: (output, message) => output.append(message),
 * };
 * ```
 */
export interface Codec<In, Out = In> {
  /**
   * Decode one message from the front of `input`. Called when bytes arrive, and again after each
   * returned message.
   *
   * Return the message and take exactly its bytes, or return undefined while the message is
   * incomplete and take nothing. Bytes that belong to no message, such as an empty line, can be
   * taken together with the result undefined.
   *
   * Throw when the bytes violate the protocol: onError receives BAD_FRAME and the session closes.
   * On UDP the session stays open. A returned promise is BAD_FRAME too.
   *
   * A view that `input` returns stays valid: its bytes are never reused. It keeps its whole chunk
   * in memory: up to 64 KiB, or more if the message spans chunks. On a WebSocket `input.text` is
   * true for a text message, whose bytes are UTF-8, and false for a binary message.
   */
  read(input: ByteReader, session: Session<In, Out>): In | undefined;
  /**
   * Append the encoded message to `output`. Called by Session.write(), send() and Server.writeTo().
   *
   * When this method throws, nothing of the message is sent and the caller of write() receives the
   * error. A returned promise is ENCODE_FAILED. So is a write to `session` from this method.
   *
   * On a WebSocket `output.asText = true` sends the message as text, which must be UTF-8, and
   * `false` sends it as binary. Other transports ignore `asText`.
   */
  write(output: ByteWriter, message: Out, session: Session<In, Out>): unknown;
}

/**
 * The callbacks of a session. Only onMessage is required. Every callback may be async.
 *
 * A callback that throws or rejects never ends the process. The error reaches onError as
 * HANDLER_FAILED; an error of onOpen is SESSION_REFUSED and ends the session.
 */
export interface EventListener<In, Out = In> {
  /**
   * The session is open. Called once, before any other callback. Messages wait until a returned
   * promise settles. Throw or reject to refuse the session.
   */
  onOpen?(session: Session<In, Out>): unknown;
  /**
   * One message has arrived. Called in the order of arrival. If it returns a promise, the next
   * message does not wait for it; see SessionOptions.maxHandling.
   */
  onMessage(session: Session<In, Out>, message: In): unknown;
  /**
   * A callback failed (HANDLER_FAILED, with the cause), the peer sent invalid bytes or exceeded a
   * limit, or the connection was lost. The result of this method is ignored.
   *
   * `error` is always a GettyError. If read() of the codec throws another error, that error is the
   * cause of BAD_FRAME. If destroy() gets another error, that error is the cause of
   * SESSION_DESTROYED.
   *
   * Without this method a failed callback is a process warning, in a browser an uncaught error of
   * the page. Other errors are then not reported: onClose shows only that the session has ended.
   */
  onError?(session: Session<In, Out>, error: GettyError): unknown;
  /**
   * The peer has ended its side. Called once, after its last message. The session closes when all
   * promises of onMessage have settled. With allowHalfOpen it stays open until you close it. Not
   * called when the connection is lost.
   */
  onEnd?(session: Session<In, Out>): unknown;
  /** The session has ended. Called once, last, for every session whose onOpen was called. */
  onClose?(session: Session<In, Out>): unknown;
  /** Called every SessionOptions.cronPeriod while the session is open. Send heartbeats here. */
  onCron?(session: Session<In, Out>): unknown;
}

/**
 * Counters of a session since it opened. Bytes are counted as the codec reads and writes them,
 * before compression and without the framing of the transport.
 */
export interface SessionStats {
  readonly bytesRead: number;
  readonly messagesRead: number;
  readonly bytesWritten: number;
  /** Messages of write() and send(). writeBytes() does not count here. */
  readonly messagesWritten: number;
  /**
   * Received datagrams that were dropped because the session did not read and 64 KiB of them
   * waited. 0 on all transports but UDP.
   */
  readonly messagesDropped: number;
}

/** The result of send(): how many bytes of the message were sent. */
export interface SendResult {
  /** Size of the encoded message, in bytes. */
  readonly encodedBytes: number;
  /** How many of these bytes the operating system has accepted. */
  readonly sentBytes: number;
}

/** Options of Session.send(). */
export interface SendOptions {
  /**
   * How long to wait until the operating system has accepted the bytes, in ms. Then send() rejects
   * with SEND_TIMEOUT; the rest of the message stays queued. Default: no limit.
   */
  timeout?: number | undefined;
  /**
   * Ends the wait: send() rejects with ABORTED_BY_CALLER. Bytes that are already queued are still
   * sent. Default: none.
   */
  signal?: AbortSignal | undefined;
}

/**
 * The types of the values in Session.attributes, by key. Declare the keys of your program: `declare
 * module 'getty-ts' { interface SessionAttributes { user: User } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: programs add to it.
export interface SessionAttributes {}

/**
 * A Map whose values have the types that SessionAttributes declares. Other keys are allowed; their
 * values have the type unknown.
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

/**
 * A connection to one peer, with a codec and a listener. serve() and connect() create sessions; the
 * callbacks of the listener receive them. `await using` closes a session.
 */
export interface Session<In, Out = In> extends AsyncDisposable {
  /** Unique in this process. */
  readonly id: number;
  /** SessionOptions.name; without it `session-` and the id. For logs. */
  readonly name: string;
  /** The local address, such as `tcp://127.0.0.1:8848`. In a browser it is the page's origin. */
  readonly localAddress: string;
  /**
   * The peer's address, such as `tcp://10.0.0.7:50100`. Secrets in it are replaced by `***`. Behind
   * a trusted proxy it is the address of the proxy's client; see ServerOptions.behindProxy. Through
   * a proxy of ClientOptions.proxy it is the server's host and port, not those of the proxy.
   */
  readonly remoteAddress: string;
  /**
   * The host of remoteAddress, such as `10.0.0.7` or `2001:db8::7`, in the form that AddressRules
   * get: without brackets, port and zone; `10.0.0.7` also for `::ffff:10.0.0.7`. A host name if
   * remoteAddress has one. Undefined at `unix://`, `memory://`, a message port and `{ stdio }`.
   */
  readonly remoteHost: string | undefined;
  /**
   * Whether the connection of this process uses TLS, also when startTls() has begun it. A server
   * with TlsOptions.allowPlain has both kinds of sessions. False behind a proxy that ends TLS.
   */
  readonly encrypted: boolean;
  /**
   * The socket of Node.js: a Socket of `node:net`, a TLSSocket of `node:tls` when the connection of
   * this process uses TLS, or a Socket of `node:dgram`, which all sessions of a UDP server share.
   * Undefined at `memory://`, a message port or `{ stdio }`, in a page and in a simulation.
   *
   * Read its properties, such as `bytesRead`, `getCipher()` or `remoteFamily`, and set options of
   * the system, such as setNoDelay(), setTypeOfService() or setTTL(). Do not read, write, pause,
   * resume, end or destroy it, and do not remove its listeners: the session does not notice, and
   * may lose messages or never end. It is another object after startTls().
   */
  readonly socket: object | undefined;
  /** The server or client that created this session. */
  readonly endpoint: Endpoint<In, Out>;
  /** True after the first close() or destroy(), and after the connection is lost. */
  readonly closed: boolean;
  /**
   * The time at which the last bytes of the peer arrived, in ms since the epoch. It is derived from
   * a monotonic clock, so changes of the system clock do not affect it.
   */
  readonly active: number;
  /** Set `active` to the current time, as if bytes had arrived: it postpones idleTimeout. */
  updateActive(): void;
  /**
   * The close code that the peer of a WebSocket sent, such as 1000 (normal) or 1001 (going away).
   * Undefined before the close, when the peer sent no code, and on other transports.
   */
  readonly closeCode: number | undefined;
  /**
   * The reason that the peer sent with its close code: untrusted text. Empty when the peer sent
   * none. Undefined when no close arrived, and on other transports.
   */
  readonly closeReason: string | undefined;
  /** A snapshot of the counters of this session. */
  readonly stats: SessionStats;
  /** True when messages may be lost, duplicated or reordered (UDP). */
  readonly lossy: boolean;
  /** A map for the state that your program keeps with this session. */
  readonly attributes: AttributeMap;
  /** SessionOptions.maxMessageBytes, in bytes. */
  readonly maxMessageBytes: number;
  /**
   * SessionOptions.idleTimeout, in ms; 0 means never. It can be set while the session is open, for
   * example to a longer time after a login. Setting throws BAD_OPTION.
   */
  idleTimeout: number;
  /** Bytes that were written and that the operating system has not accepted yet. */
  readonly queuedBytes: number;

  /**
   * Mark the peer as trusted. A UDP server limits what it sends to peers that are not trusted; see
   * UdpOptions.amplification. Call it when the peer has proved, by your protocol, that it receives
   * at its address. It does nothing on other transports.
   */
  trust(): void;
  /**
   * Encode a message and queue it. All messages of one event-loop tick are sent together.
   *
   * Returns true if you can write more. Returns false if the message is queued and queuedBytes has
   * reached highWaterMark: await drained() before the next write. The call creates no promise.
   *
   * Throws SESSION_CLOSED, SESSION_BLOCKED (maxQueuedBytes is reached), MESSAGE_TOO_LARGE,
   * PEER_NOT_TRUSTED (UDP), ENCODE_FAILED, or the error of the codec. After an error nothing of the
   * message is sent, and the session stays open.
   *
   * The message belongs to you again when this method returns.
   */
  write(message: Out): boolean;
  /**
   * Encode a message, queue it, and settle when the operating system has accepted its bytes. This
   * does not prove that the peer has received them.
   *
   * Rejects with a SendError, which has encodedBytes, sentBytes and one of the codes of write(),
   * SEND_TIMEOUT, ABORTED_BY_CALLER or BAD_OPTION. An error of the codec is ENCODE_FAILED.
   */
  send(message: Out, options?: SendOptions): Promise<SendResult>;
  /**
   * Queue bytes that are already encoded. The codec is not called and maxMessageBytes is not
   * checked. The bytes are copied before this method returns. Result and errors as write(), and
   * BAD_OPTION for what is no Uint8Array, or whose `length` is not the number of its bytes.
   */
  writeBytes(bytes: Uint8Array): boolean;
  /**
   * Queue several byte arrays in this order. They are sent together, on a message transport as one
   * message. Otherwise as writeBytes(). BAD_OPTION for a list that cannot be read.
   */
  writeBytesArray(chunks: readonly Uint8Array[]): boolean;
  /**
   * Settles when queuedBytes is below highWaterMark. Rejects with SESSION_CLOSED when the session
   * ends first.
   */
  drained(): Promise<void>;
  /**
   * Stop taking messages until resume(). The network's back-pressure then slows the peer down. UDP
   * has no back-pressure: the session keeps about 64 KiB, and drops further datagrams without an
   * event.
   */
  pause(): void;
  /** Take messages again after pause(). */
  resume(): void;
  /**
   * Continue with another codec, another listener or both, from the next message on: after an
   * upgrade of the protocol, or when the listener of a login hands over to that of the application.
   *
   * Reading: bytes that have arrived behind the current message are read by the new codec. Call it
   * in onMessage before the first `await`; later, the session may have read further messages with
   * the former codec, unless onMessage has called pause(), or maxHandling is 1. read() of a codec
   * may call it too: if it then takes nothing and returns undefined, the new codec reads the same
   * bytes. On a message transport it applies to the next whole message.
   *
   * Writing: the next write() uses the new codec. Messages that are queued stay as they are, and
   * are sent before.
   *
   * All further callbacks are those of the new listener, also onClose, and onError for a former
   * onMessage that rejects later. Its onOpen is not called, because the session is open. The former
   * listener gets no further callback. A message that waits in a task pool stays with the listener
   * for which it was read. The options of the session, its attributes, timers and statistics stay.
   *
   * Returns this session with the types of the new messages. Throws BAD_OPTION, and SESSION_CLOSED
   * if `closed` is true.
   */
  use<NewIn = In, NewOut = Out>(protocol: ProtocolSetup<NewIn, NewOut>): Session<NewIn, NewOut>;
  /**
   * Encrypt a session at `tcp://` or `unix://` from here on (STARTTLS): the session of a server
   * answers the TLS handshake, that of a client begins it. What was written before is sent in plain
   * text first. What is written during the handshake waits, and is encrypted. Call it in onMessage
   * before the first `await`, or after pause() in onMessage.
   *
   * Settles with the peer and its verified certificate when the handshake is complete. The
   * addresses of the session do not change.
   *
   * Rejects with BAD_OPTION (an invalid option, or this connection cannot be encrypted) and
   * SESSION_CLOSED. The session then stays as it was. Any other failure ends the session, and
   * onError receives it too: BAD_FRAME if bytes have arrived behind the current message, because an
   * attacker may have put them there to be read as if they were encrypted; after a failed or late
   * handshake a RefusedError with the reason `tls` or `timeout` on a server, and CONNECT_FAILED on
   * a client.
   */
  startTls(options?: StartTlsOptions): Promise<Peer>;
  /**
   * Send what is queued, end this side, read until the peer ends its side, and close. After
   * waitTime the session is destroyed. Settles when the session has ended. Messages that arrive
   * meanwhile still reach onMessage; `closed` is true then.
   *
   * A WebSocket sends the code and the reason in `options` to the peer; other transports ignore
   * them. Only the first call has an effect. Throws BAD_OPTION.
   */
  close(options?: CloseOptions): Promise<void>;
  /**
   * Close now. Queued bytes are lost. `error` is reported to onError; an error that is no
   * GettyError becomes the cause of SESSION_DESTROYED. Without `error` onError is not called. The
   * peer of a WebSocket receives a close code for BAD_FRAME, MESSAGE_TOO_LARGE, SESSION_REFUSED,
   * RATE_EXCEEDED, IDLE_TIMEOUT and MESSAGE_TIMEOUT, and none for others.
   */
  destroy(error?: Error): void;
  /**
   * Call `callback` once when the session has ended: before onClose of the listener, in the order
   * in which callbacks were added. A callback that is already added is not added again. use() keeps
   * it. If the session has already ended, it is called in a microtask. Throws BAD_OPTION.
   */
  addCloseCallback(callback: CloseCallback<In, Out>): void;
  /**
   * Remove a callback of addCloseCallback(). Returns false if it was not added, was removed, or was
   * called. During the end it removes callbacks that were not called yet.
   */
  removeCloseCallback(callback: CloseCallback<In, Out>): boolean;
}

/**
 * A callback of Session.addCloseCallback(). `reason` is the error that has ended the session, as
 * onError receives it, such as CONNECTION_LOST or IDLE_TIMEOUT; undefined when one of both sides
 * has closed the session, or destroy() had no error. If the callback throws or rejects, onError
 * receives HANDLER_FAILED, and the other callbacks are called.
 */
export type CloseCallback<In, Out = In> = (
  session: Session<In, Out>,
  reason: GettyError | undefined,
) => unknown;

/** What Session.use() replaces. At least one of both is required. */
export interface ProtocolSetup<In, Out = In> {
  /** Default: the present codec. */
  codec?: Codec<In, Out> | undefined;
  /** Default: the present listener. */
  listener?: EventListener<In, Out> | undefined;
}

/** Options of Session.close(): what a WebSocket sends to its peer. */
export interface CloseOptions {
  /**
   * The close code: 1000 to 1003, 1007 to 1014, or 3000 to 4999. Codes from 4000 are for
   * applications. In a browser only 1000 and 3000 to 4999 are allowed. Default: 1000.
   */
  code?: number | undefined;
  /** The reason: at most 123 bytes in UTF-8. Default: empty. */
  reason?: string | undefined;
}

/** Options of each session, in the setup. Times are in ms, sizes in bytes. */
export interface SessionOptions {
  /** A name for logs. Default: `session-` and the id. */
  name?: string | undefined;
  /**
   * Largest message that is read or written, in encoded bytes. A larger message is
   * MESSAGE_TOO_LARGE; if the peer sent it, the session closes, except on UDP. A message is decoded
   * in one turn of the event loop, so raise this limit only for trusted peers. From 1 to
   * 2,147,483,647. Default: 1,048,576 (1 MiB).
   */
  maxMessageBytes?: number | undefined;
  /**
   * How often onCron is called, and how often a WebSocket sends a ping, in ms. Default: 45,000,
   * because many proxies close a connection that is silent for 60 s.
   */
  cronPeriod?: number | undefined;
  /**
   * Close the session (IDLE_TIMEOUT) when nothing arrives from the peer for this long, in ms. The
   * session may close up to a quarter of this time later. 0 means never. Default: 0; on a UDP
   * server 60,000, because a UDP peer does not announce its end.
   */
  idleTimeout?: number | undefined;
  /**
   * Close the session (MESSAGE_TIMEOUT) when a message is still incomplete this long after its
   * first bytes, in ms. 0 means never. Default: 60,000.
   */
  messageTimeout?: number | undefined;
  /**
   * Keep the session open (half-open) after the peer has ended its side, so that you can write
   * later answers. You end the session with close(); idleTimeout still applies. Only for streams: a
   * WebSocket closes both sides at once, and UDP has no end. Default: false.
   */
  allowHalfOpen?: boolean | undefined;
  /**
   * How long close() waits for the queue and for the peer's end, in ms. Then it destroys the
   * session. Default: 3,000.
   */
  waitTime?: number | undefined;
  /** write() returns false while this many bytes are queued. Default: 262,144 (256 KiB). */
  highWaterMark?: number | undefined;
  /**
   * write() throws SESSION_BLOCKED when this many bytes are already queued. Each pending send() or
   * drained() after the first 64 counts as 512 bytes. Default: 16,777,216 (16 MiB).
   */
  maxQueuedBytes?: number | undefined;
  /**
   * How many promises of onMessage may be pending. Then the session stops reading until one has
   * settled. 1 handles messages one after the other. Default: 1,024.
   */
  maxHandling?: number | undefined;
  /**
   * A pool that runs onMessage with limits that many sessions share; see taskPool(). Default: none.
   */
  taskPool?: TaskPool | undefined;
  /**
   * Compression of the connection. On streams both sides must set the same; one compressor per
   * direction serves the whole session. On a WebSocket it is permessage-deflate, which both sides
   * must offer; see WebSocketOptions. Default: `'none'`.
   */
  compression?: Compression | undefined;
  /**
   * How many bytes one received chunk, or one WebSocket message, may inflate to. More closes the
   * session with INFLATE_LIMIT. Default: 16,777,216 (16 MiB).
   */
  maxInflatedBytes?: number | undefined;
  /** Messages and bytes per second of each session. Default: no limit. */
  rate?: RateOptions | undefined;
}

/**
 * Limits of messages and bytes per second: token buckets. In the setup they hold for each session,
 * in the options of serve() and connect() for all sessions of the endpoint together. Both may be
 * set.
 */
export interface RateOptions {
  /** What the peers send. Default: no limit. */
  in?: RateInOptions | undefined;
  /** What this side sends. Default: no limit. */
  out?: RateOutOptions | undefined;
}

/** What a session may receive: `messages`, `bytes` or both are required. */
export interface RateInOptions {
  /** Messages per second, on average. From 0.000001. Default: no limit. */
  messages?: number | undefined;
  /**
   * Bytes per second, on average, as the codec reads them: after decompression, without TLS and
   * WebSocket frames. From 0.000001. Default: no limit.
   */
  bytes?: number | undefined;
  /**
   * How much may come at once after a pause: as much as the rate permits in this time, in ms, and
   * at least one message. From 10. Default: 1,000.
   */
  burst?: number | undefined;
  /**
   * What happens when more arrives. `'pause'`: the session does not read until the average is kept
   * again, as after Session.pause(). UDP then drops datagrams when 64 KiB wait. `'close'`: the
   * session ends with RATE_EXCEEDED, and the message is not delivered. A `burst` of bytes below
   * maxMessageBytes then forbids larger messages. Default: `'pause'`.
   */
  over?: 'pause' | 'close' | undefined;
}

/**
 * What a session may send: `messages`, `bytes` or both are required. Other messages wait in its
 * queue in order: they count in queuedBytes, and so for highWaterMark and maxQueuedBytes. Toward
 * these two limits each counts as 1 to 5 bytes more, and an empty datagram as 2 bytes.
 */
export interface RateOutOptions {
  /** Messages per second, on average. From 0.000001. Default: no limit. */
  messages?: number | undefined;
  /**
   * Bytes per second, on average, as the codec writes them, on a WebSocket as its frames. From
   * 0.000001. Default: no limit.
   */
  bytes?: number | undefined;
  /**
   * How much may be sent at once after a pause: as much as the rate permits in this time, in ms,
   * and at least one message. From 10. Default: 1,000.
   */
  burst?: number | undefined;
}

/**
 * `'none'`; `'deflate'`: raw DEFLATE at zlib's default level; `{ deflate: level }`: from 0 to 9, or
 * -1 for zlib's default; `'snappy'`: the framing format of snappy, for streams only.
 */
export type Compression = 'none' | 'deflate' | { deflate: number } | 'snappy';

/** What a session needs: its codec, its listener, and the options that differ from the defaults. */
export interface SessionSetup<In, Out = In> extends SessionOptions {
  /** Required. */
  codec: Codec<In, Out>;
  /** Required. */
  listener: EventListener<In, Out>;
}

/**
 * One setup for all sessions, or a function that returns the setup of each new session.
 *
 * A function is called once for each connection, on a WebSocket server before the request is
 * answered. Throw in it to refuse the session; throw a RefusedError to choose the HTTP status of a
 * WebSocket request. A returned promise refuses the session too.
 */
export type Setup<In, Out = In> = SessionSetup<In, Out> | ((peer: Peer) => SessionSetup<In, Out>);

/** The peer of a new connection, as a setup function and onRefused receive it. */
export interface Peer {
  /** The local address, such as `tcp://127.0.0.1:8848`. */
  readonly localAddress: string;
  /**
   * The peer's address, such as `tcp://10.0.0.7:50100`; behind a trusted proxy that of the proxy's
   * client. `maxSessionsPerAddress` applies to addresses of the form `scheme://host:port` only.
   */
  readonly remoteAddress: string;
  /** The WebSocket subprotocol that both sides agreed on. Undefined without one. */
  readonly protocol?: string | undefined;
  /**
   * The certificate that the peer presented in the TLS handshake, verified by the CA. Undefined
   * when it presented none. Read it while the connection is new.
   */
  readonly certificate?: PeerCertificate | undefined;
  /** The HTTP request of a WebSocket, on its server. The content is untrusted. */
  readonly request?: WebSocketRequest | undefined;
  /** See Session.encrypted. Undefined means false. */
  readonly encrypted?: boolean | undefined;
}

/** A verified certificate of the peer. */
export interface PeerCertificate {
  /** The subject's common name. Empty when it has none. */
  readonly commonName: string;
  /**
   * The subject's alternative names, such as `DNS:agent.example`, `IP Address:10.0.0.7` and
   * `URI:spiffe://…`.
   */
  readonly altNames: readonly string[];
  /** SHA-256 of the certificate, as pairs of hex digits with colons. */
  readonly fingerprint: string;
  /** The serial number, as hex digits. */
  readonly serialNumber: string;
}

/** The HTTP request that opened a WebSocket. */
export interface WebSocketRequest {
  /** Path and query. */
  readonly url: string;
  /** Headers by name; names are in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** A server or a client: it creates sessions and closes them. `await using` calls close(). */
export interface Endpoint<In, Out = In> extends AsyncDisposable {
  /** Unique in this process. */
  readonly id: number;
  readonly type: 'server' | 'client';
  /**
   * The address that a server listens on, or that a client connects to; with several addresses the
   * first one. A server's port 0 is
   * replaced by the actual port. Secrets in a client's address are replaced by `***`. On an HTTP
   * server it is empty until that server listens, and always if it listens at a Unix socket.
   */
  readonly address: string;
  /**
   * All addresses of this endpoint, in the order in which they were given; the first is `address`.
   */
  readonly addresses: readonly string[];
  /** All sessions: from their creation, before onOpen, until their onClose was called. */
  readonly sessions: ReadonlySet<Session<In, Out>>;
  /** True after the first close() or destroy(). */
  readonly closed: boolean;
  /**
   * Create no more sessions, close every session with Session.close(), and release the socket.
   * Settles when all of that is done.
   */
  close(): Promise<void>;
  /** Close everything now. Queued bytes are lost. */
  destroy(): void;
}

/** What serve() returns: an endpoint that accepts connections. */
export interface Server<In, Out = In> extends Endpoint<In, Out> {
  readonly type: 'server';
  /**
   * How many peers were refused since the start, by reason. On UDP each datagram of a refused peer
   * counts. A copy of the counters.
   */
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  /**
   * Accept no new connections; open sessions continue. Settles when the port is free, on UDP when
   * all sessions have ended. An HTTP server of yours continues to listen.
   */
  stopListening(): Promise<void>;
  /**
   * Use other certificates for new sessions; open sessions continue with the old certificates.
   * Options that are missing in `options` keep their values. All files are read again: after files
   * were replaced, `reloadTls({})` is enough. Throws BAD_OPTION, also at an address without TLS and
   * on an HTTP server, which has its own certificates.
   * The old certificates then stay in use.
   */
  reloadTls(options: TlsOptions): void;
  /**
   * Write a message to the UDP peer at `peer`, such as `udp://10.0.0.7:514`: an IP address, not a
   * name. Only for a server at `udp://`; with several such addresses the first one sends. If the
   * peer has no session, one is created, and it is trusted. A broadcast address needs
   * `udp.broadcast`.
   *
   * Result and errors as Session.write(). Also throws BAD_OPTION (the server is not at `udp://`),
   * BAD_ADDRESS, SESSION_REFUSED (by the setup or a session limit) and ENDPOINT_CLOSED. When the
   * system rejects the datagram later, onError receives CONNECTION_LOST with the system's error as
   * the cause, and the session ends.
   */
  writeTo(message: Out, peer: string): boolean;
}

/**
 * A path of an HTTP server at which serve() accepts WebSockets: `ws://` of a server of `node:http`,
 * `wss://` of one of `node:https`. The HTTP server answers all other requests.
 */
export interface HttpServerAddress {
  /** It may begin to listen later. */
  server: HttpServer;
  /**
   * The path, such as `/game`, without a query. Each path has one server. Upgrade requests of other
   * paths are left to other listeners of the event 'upgrade'; if there is none, the answer is 404.
   */
  path: string;
}

/**
 * The end of a message channel, at which serve() accepts and connect() opens sessions. The other
 * end is in another thread, worker or frame, or in the same one. Each session has a channel of its
 * own, and messages of your program at `port` are left to your program.
 */
export interface PortAddress {
  /** One end of the channel. It stays open when the server or the client is closed. */
  port: MessageEndpoint;
  /**
   * The host in the addresses of sessions, such as `port://thumbnails`: at most 64 letters, digits
   * and the characters `_`, `.` and `-`. Default: a number.
   */
  name?: string | undefined;
}

/**
 * The standard input and output of a child process. One session can be opened over them, by
 * serve() on one side and connect() on the other.
 */
export interface StdioAddress {
  /**
   * In the parent, the ChildProcess, whose stdin and stdout must be pipes. In the child, `process`.
   * Or two other streams.
   */
  stdio: ProcessWithStdio | StreamPair;
  /**
   * The host in the addresses of sessions, such as `stdio://compiler`: at most 64 letters, digits
   * and the characters `_`, `.` and `-`. Default: the number of the process; for two streams
   * `pair-` and a number.
   */
  name?: string | undefined;
}

/** What serve() listens at. */
export type ServerAddress = string | HttpServerAddress | PortAddress | StdioAddress;
/** What connect() connects to. */
export type ClientAddress = string | PortAddress | StdioAddress;

/** Options of serve(), beside the setup. Times are in ms. */
export interface ServerOptions {
  /**
   * How many sessions may be open; further peers are refused. A session counts until its socket is
   * closed. TLS and WebSocket handshakes count too: at most 16 more connections than this may be
   * open. Default: as many as the process's limit of open files permits (no limit on Windows); at
   * `udp://` and at a message port 10,000; at `memory://` no limit; with several addresses the
   * lowest of these.
   */
  maxSessions?: number | undefined;
  /**
   * How many sessions the peers of one host address may have open; see maxSessions. Peers of
   * `unix://`, `memory://`, message ports and processes have no host address. Default: no limit.
   */
  maxSessionsPerAddress?: number | undefined;
  /**
   * The server is behind proxies or load balancers, which say who their client is. The client's
   * address is then the remoteAddress of the session, and `maxSessionsPerAddress`, `allow`, `deny`
   * and logs use it. For `tcp://`, `tls://`, `ws://`, `wss://` and HTTP servers; BAD_OPTION at
   * others. Default: none.
   */
  behindProxy?: BehindProxyOptions | undefined;
  /**
   * IP addresses and ranges (CIDR) whose peers may connect, such as `['10.0.0.0/8', '::1']`, or
   * AddressRules, such as a BlockList of `node:net`, whose later changes have an effect. Other
   * peers are refused with the reason `address`. An IPv6 address that stands for an IPv4 address,
   * such as `::ffff:10.0.0.7`, counts as that one. BAD_OPTION at `unix://` and `memory://`, and for
   * an empty array. Default: all addresses.
   */
  allow?: readonly string[] | AddressRules | undefined;
  /**
   * As `allow`: addresses and ranges whose peers are refused, also if `allow` has them. An empty
   * array refuses none. Open sessions continue. Default: none.
   */
  deny?: readonly string[] | AddressRules | undefined;
  /**
   * Called for each peer that is refused before it has a session; on UDP for each datagram of such
   * a peer. `error.reason` is the reason. An error that it throws is a process warning. Without it,
   * refusals by a limit, an invalid setup or a fault are process warnings, at most one a minute for
   * each error code. `server.refusals` counts in either case. Default: none.
   */
  onRefused?: ((peer: Peer, error: RefusedError) => void) | undefined;
  /**
   * Certificates for `tls://` and `wss://`, which require `cert` and `key`. BAD_OPTION at `tcp://`,
   * `ws://` and `udp://`, and on an HTTP server, which has its own. Default: none.
   */
  tls?: TlsOptions | undefined;
  /**
   * How long a TLS or WebSocket handshake may take, in ms. On an HTTP server it begins when the
   * request is complete; before, `headersTimeout` of that server applies. Default: 10,000.
   */
  handshakeTimeout?: number | undefined;
  /** Options of the sockets of the operating system. Default: those of ServerSocketOptions. */
  socket?: ServerSocketOptions | undefined;
  /** Options for `udp://`. Default: none. */
  udp?: UdpOptions | undefined;
  /** Options for `unix://`: which processes may connect. Default: none. */
  unix?: UnixOptions | undefined;
  /** Options for `ws://` and `wss://`. Default: none. */
  websocket?: WebSocketOptions | undefined;
  /** Messages and bytes per second of all sessions together. Default: no limit. */
  rate?: RateOptions | undefined;
}

/**
 * Decides whether an address is in a list: a BlockList of `node:net`, or an object of yours, whose
 * list can also shrink. For example `{ check: (address) => banned.has(address) }`.
 */
export interface AddressRules {
  /**
   * Returns true if the list has the address: an IP address in its shortest form, in lower case and
   * without a zone, such as `2001:db8::7` or `10.0.0.7`, also for a peer at `::ffff:10.0.0.7`.
   * Called for each peer, on UDP without a session for each datagram, so it must be fast. If it
   * throws or returns no boolean, the peer is refused with the reason `fault`.
   */
  check(address: string, family?: 'ipv4' | 'ipv6'): boolean;
}

/** Which peers are proxies, and how they say who their client is; see ServerOptions. */
export interface BehindProxyOptions {
  /**
   * Required: IP addresses and ranges (CIDR) of the proxies, or AddressRules. Only these may name a
   * client: any other peer could name any address.
   */
  trusted: readonly string[] | AddressRules;
  /**
   * Required: how the proxies name the client.
   *
   * - `'proxy-protocol'`: each connection begins with a header of the PROXY protocol, version 1 or
   *   2, of at most 16 KiB, which must arrive within handshakeTimeout. Peers that are not trusted
   *   and other first bytes are refused with the reason `proxy`.
   * - `'x-forwarded-for'`, `'forwarded'` (RFC 7239): this header of the request that opens a
   *   WebSocket. The client is the last address that is no trusted proxy. The header of a peer that
   *   is not trusted is ignored. One that cannot be read is refused with the reason `proxy` and
   *   status 400. Choose the header that your proxy writes: it may pass the other one on as the
   *   client wrote it.
   */
  header: 'proxy-protocol' | 'x-forwarded-for' | 'forwarded';
}

/**
 * Which processes may connect to a Unix socket. Both options are in force from the moment at which
 * the path exists. They are BAD_OPTION for a name in the abstract namespace (`unix://@name`), and
 * in a worker of `node:cluster`.
 */
export interface UnixOptions {
  /**
   * Permissions of the socket's file, from 0 to 0o777. A peer needs write permission. Default:
   * 0o777 without the process's umask.
   */
  mode?: number | undefined;
  /**
   * Number of the group that owns the file. Default: the system chooses. On Linux that is the group
   * of the process, or of the directory if its setgid bit is set.
   */
  group?: number | undefined;
}

/** What a WebSocket server answers to health checks; see WebSocketOptions.health. */
export interface HealthCheck {
  /** The path of the requests, such as `/healthz`, without a query. */
  path: string;
  /**
   * Called for each request: true, or a promise of true, is answered with 200, and another result
   * with 503. An error is answered with 503 and is a process warning, at most one a minute.
   * Default: always true.
   */
  isHealthy?: (() => boolean | Promise<boolean>) | undefined;
}

/** Headers of a request by name. */
export type WebSocketHeaders = Readonly<Record<string, string>>;

/** Options for `ws://` and `wss://`. Sizes are in bytes. */
export interface WebSocketOptions {
  /**
   * Subprotocols. A client offers them in this order, and the server must accept one. A server
   * accepts the first offered protocol that is in its list; without a match it continues without a
   * protocol. Default: none.
   */
  protocols?: readonly string[] | undefined;
  /**
   * permessage-deflate, which both sides must offer. It is negotiated before a setup function runs.
   * Default: the `compression` of the setup, if the setup is an object.
   */
  compression?: Compression | undefined;
  /**
   * Largest message that permessage-deflate compresses, in bytes. Larger messages are sent
   * uncompressed. A message is compressed in one step on the JavaScript thread: at worst about 10
   * ms at the default, then 20 ms for each MiB. Messages above 16 KiB are compressed at level 6 at
   * most, and above 64 KiB at level 1. Default: 524,288 (512 KiB).
   */
  maxCompressBytes?: number | undefined;
  /**
   * Send messages as text when the codec does not set ByteWriter.asText. write() then throws
   * ENCODE_FAILED for bytes that are not UTF-8. Both kinds are always received. Default: false,
   * binary.
   */
  text?: boolean | undefined;
  /**
   * Server only: origins whose pages may connect, such as `https://example.org`, or a function that
   * returns true for them or a promise of true. A page of the server's own host needs no entry here
   * if allowHost permits the host. All other pages receive status 403. A request without an Origin
   * header does not come from a page and is not checked. Default: none.
   */
  allowOrigin?: readonly string[] | ((origin: string) => boolean | Promise<boolean>) | undefined;
  /**
   * Server only: the server's own host names, such as `game.example`, or `'any'` for all names. It
   * is for pages of the same host: their origin has the host and the port of the request's Host
   * header. Such a page may connect if the host is in this list, is the host of the server's
   * address, is an IP address, or is `localhost` or a name under `.localhost`. Otherwise only
   * allowOrigin can permit it. Default: none.
   */
  allowHost?: readonly string[] | 'any' | undefined;
  /**
   * Server only: the path at which GET and HEAD requests, such as the health checks of a load
   * balancer, are answered with 200, or an object with the path and a function that decides. An rpc
   * server and a provider answer 503 while they drain. Other requests are refused as before. Not
   * for an HTTP server of yours, which answers its own requests. Default: none.
   */
  health?: string | HealthCheck | undefined;
  /**
   * Client only: additional headers of the request, or a function that returns them or a promise of
   * them. The function is called for each attempt to connect. A name or value that HTTP does not
   * allow is BAD_OPTION, and so are a Map, Headers, and a promise that no function returns. An
   * error of the function is the cause of CONNECT_FAILED. Default: none.
   */
  headers?: WebSocketHeaders | (() => WebSocketHeaders | Promise<WebSocketHeaders>) | undefined;
}

/** Options for `udp://`. Sizes are in bytes. */
export interface UdpOptions {
  /**
   * Largest datagram that is written, in bytes. A larger message is MESSAGE_TOO_LARGE. A datagram
   * above the path MTU (1,472 bytes over Ethernet) is sent in fragments, and is lost when one
   * fragment is lost. Default: 65,507, the maximum of UDP.
   */
  maxDatagramBytes?: number | undefined;
  /**
   * Server only: a peer that is not trusted receives at most this many times the bytes, and this
   * many times the datagrams, that it has sent. A write above that throws PEER_NOT_TRUSTED. Without
   * the limit an attacker who forges sender addresses could make the server flood a third party.
   * Infinity trusts every peer: only for networks where addresses cannot be forged. See
   * Session.trust(). Default: 1.
   */
  amplification?: number | undefined;
  /**
   * True: a client begins with the datagram `connect-ping`, as Go getty does, so that the server
   * has a session before the first message; a server does not deliver such a datagram to the
   * listener. False: a client sends no such datagram, and a server delivers it as a message.
   * Default: true.
   */
  connectPing?: boolean | undefined;
  /**
   * Permit datagrams to broadcast addresses, such as `udp://192.168.1.255:9000`. Without it the
   * system rejects them. Default: false.
   */
  broadcast?: boolean | undefined;
  /**
   * Server only: IP addresses of the multicast groups to join, on the server's port. Default: none.
   */
  multicast?: readonly string[] | undefined;
  /**
   * The interface on which groups are joined and used for sending: its IPv4 address, or for IPv6
   * `::%` and its name (`::%eth0`). Default: empty, the system chooses.
   */
  multicastInterface?: string | undefined;
  /**
   * How many routers a datagram to a multicast group may pass: from 0, this machine, to 255.
   * Default: 1, the local network.
   */
  multicastTtl?: number | undefined;
  /**
   * Whether other sockets of this machine receive what is sent to a multicast group. A server never
   * receives its own datagrams. Default: true.
   */
  multicastLoopback?: boolean | undefined;
}

/**
 * Options of the sockets of the operating system. An option is BAD_OPTION if no address of the
 * endpoint has a transport with it. Sizes are in bytes, times in ms.
 */
export interface SocketOptions {
  /**
   * Whether the system probes a silent connection, and reports a peer that has disappeared. For
   * `tcp://`, `tls://`, `ws://`, `wss://` and HTTP servers. Default: true.
   */
  keepAlive?: boolean | undefined;
  /**
   * The silence before the first probe of keepAlive, in ms. The system takes whole seconds. From
   * 1,000 to 32,767,000. Default: 60,000.
   */
  keepAliveDelay?: number | undefined;
  /**
   * True: the system sends small segments at once (TCP_NODELAY). False: it may wait for an
   * acknowledgment of the peer, which saves packets and costs up to 200 ms. For the transports of
   * keepAlive. Default: true.
   */
  noDelay?: boolean | undefined;
  /**
   * Size of the system's receive buffer, in bytes. 0 keeps the system's size. For `udp://`:
   * Node.js cannot set it for TCP. Default: 0.
   */
  receiveBufferBytes?: number | undefined;
  /**
   * Size of the system's send buffer, in bytes. 0 keeps the system's size. For `udp://`: Node.js
   * cannot set it for TCP. Default: 0.
   */
  sendBufferBytes?: number | undefined;
}

/** SocketOptions of a server, and those of its listening sockets, which no HTTP server has. */
export interface ServerSocketOptions extends SocketOptions {
  /**
   * How many connections the system queues before they are accepted. From 1 to 65,535. For
   * `tcp://`, `tls://`, `ws://`, `wss://` and `unix://`. Default: 511.
   */
  backlog?: number | undefined;
  /**
   * At an address of all IPv6 interfaces, such as `tcp://[::]:80` or `tcp://:80`: accept no IPv4.
   * For addresses with a port. Default: false.
   */
  ipv6Only?: boolean | undefined;
  /**
   * Let several sockets, also of other processes, listen at the same port; the system distributes
   * the connections or the senders of datagrams among them. For the transports of ipv6Only, with
   * Node.js 22.12, 23.1 or newer; BAD_OPTION with others, and LISTEN_FAILED on systems without it
   * (macOS, Windows). Default: false.
   */
  reusePort?: boolean | undefined;
}

/**
 * Certificates and keys for `tls://` and `wss://`. `cert`, `key` and `ca` are PEM text, PEM bytes
 * or the path of a PEM file. An invalid one is BAD_OPTION at the call.
 */
export interface TlsOptions {
  /**
   * This side's certificate, followed by the intermediate certificates up to its CA. A server
   * requires it. Default: none.
   */
  cert?: string | Bytes | undefined;
  /** The private key of `cert`. Default: none. */
  key?: string | Bytes | undefined;
  /** The password of `key`. Default: none. */
  passphrase?: string | undefined;
  /**
   * Certificates of the CAs that are accepted. Default: on a client the CAs of Node.js, on a server
   * none.
   */
  ca?: string | Bytes | undefined;
  /**
   * Server only: whether a client must present a certificate that `ca` signed. Default:
   * `'required'` with `ca`, `'none'` without.
   */
  clientCertificate?: 'none' | 'required' | undefined;
  /**
   * Client only: the name that the server's certificate must have. It is also sent as SNI. Default:
   * the host of the address.
   */
  serverName?: string | undefined;
  /**
   * Server only: further certificates, by the host name that the client requests (SNI), such as
   * `a.example` or `*.b.example`, which stands for one label. Without a match the server uses
   * `cert`. Default: none.
   */
  hosts?: Readonly<Record<string, TlsIdentity>> | undefined;
  /**
   * Server only: accept connections without TLS at the same port; Session.encrypted tells them
   * apart. The first byte decides: 0x16 begins a TLS handshake. A peer that sends nothing first is
   * refused after handshakeTimeout. The addresses of sessions without TLS begin with `tcp://` or
   * `ws://`. reloadTls() cannot change it. Default: false.
   */
  allowPlain?: boolean | undefined;
  /** The lowest TLS version that is accepted. Default: `'TLSv1.2'`. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  /**
   * Server only: how often the files of `cert`, `key`, `ca` and `hosts` are checked, in ms. Changed
   * files are loaded as by reloadTls({}). Invalid files cause a process warning, and the old
   * certificates stay in use. 0 means never. A client reads its files at each attempt to connect.
   * Default: 0.
   */
  reloadPeriod?: number | undefined;
}

/** A certificate with its key, for one name of TlsOptions.hosts. */
export interface TlsIdentity {
  /** Required: as TlsOptions.cert. */
  cert: string | Bytes;
  /** Required: the private key of `cert`, as TlsOptions.key. */
  key: string | Bytes;
  /** The password of `key`. Default: none. */
  passphrase?: string | undefined;
}

/**
 * Options of Session.startTls(). On a server `cert` and `key` are required. Its files are read once
 * for each object of options, so pass the same object for all sessions, and another one when the
 * files have changed.
 */
export interface StartTlsOptions extends Omit<TlsOptions, 'reloadPeriod' | 'allowPlain'> {
  /**
   * How long the handshake may take, in ms, with the time to send what was written before. Default:
   * 10,000.
   */
  handshakeTimeout?: number | undefined;
}

/**
 * The state of a client:
 *
 * - `connecting`: it has no session, and an attempt is in progress
 * - `ready`: it has a session
 * - `down`: it has no session, and the next attempt is not due. With `reconnect: false`, or after
 *   reconnect.maxAttempts, there is no next attempt
 * - `closed`: close() or destroy() was called
 */
export type ClientState = 'connecting' | 'ready' | 'down' | 'closed';

/** What connect() returns: an endpoint that keeps sessions with a server open. */
export interface Client<In, Out = In> extends Endpoint<In, Out> {
  readonly type: 'client';
  /** The current state; ClientOptions.onState reports changes. */
  readonly state: ClientState;
  /**
   * An open session, or undefined when there is none. With several sessions each access returns the
   * next one in turn.
   */
  readonly current: Session<In, Out> | undefined;
  /**
   * How many attempts to connect have begun since a session was opened last, with the one that is
   * in progress. 0: the last attempt has opened a session. An attempt tries all addresses of the
   * client. reconnect.maxAttempts limits failed attempts, and counts them in another way.
   */
  readonly reconnectAttempts: number;
  /**
   * Settles with an open session; with several sessions each call returns the next one in turn.
   * Without one it waits for the attempt that is in progress. Rejects with the last failure (such
   * as CONNECT_FAILED or CONNECTION_LOST) when the attempt fails or the next attempt is not due,
   * and with ENDPOINT_CLOSED after close().
   */
  session(): Promise<Session<In, Out>>;
}

/** Options of connect(), beside the setup. Times are in ms. */
export interface ClientOptions {
  /** How many sessions to keep open. From 1 to 10,000. Default: 1; an rpc client 2. */
  connections?: number | undefined;
  /**
   * How long one attempt may take, in ms: name lookup, connection and handshakes. With several
   * addresses each of them has this time. Default: 5,000.
   */
  connectTimeout?: number | undefined;
  /** Connect again when a session is lost; false: never; an object: how. Default: true. */
  reconnect?: boolean | ReconnectOptions | undefined;
  /**
   * Called for each new state. `ready` is reported when onOpen has settled, the loss of the last
   * session after its onClose. `closed` is reported after the call of close() or destroy(), when
   * sessions may still be closing. With `down` and `connecting`, `reason` is why the last session
   * was lost or the last attempt failed. An error that it throws is a process warning. Default:
   * none.
   */
  onState?: ((state: ClientState, reason?: GettyError) => unknown) | undefined;
  /**
   * Certificates for `tls://` and `wss://`. The client always verifies the server; give a private
   * CA as `tls.ca`. BAD_OPTION at `tcp://`, `ws://` and `udp://`. Default: none.
   */
  tls?: TlsOptions | undefined;
  /** Options of the sockets of the operating system. Default: those of SocketOptions. */
  socket?: SocketOptions | undefined;
  /** Options for `udp://`. Default: none. */
  udp?: UdpOptions | undefined;
  /** Options for `ws://` and `wss://`. Default: none. */
  websocket?: WebSocketOptions | undefined;
  /** Messages and bytes per second of all sessions of this client together. Default: no limit. */
  rate?: RateOptions | undefined;
  /**
   * An HTTP proxy through which the client connects, by the method CONNECT, such as
   * `http://user:password@proxy.example:3128`. The proxy looks up the host name. With `tls://` and
   * `wss://` it sees only encrypted bytes. For `tcp://`, `tls://`, `ws://` and `wss://`; BAD_OPTION
   * at others. A proxy that refuses, answers with more than 16 KiB of headers, or does not answer
   * within connectTimeout is the cause of CONNECT_FAILED. Default: none.
   */
  proxy?: string | undefined;
  /**
   * Aborts connect() before its first session is open: it rejects with ABORTED_BY_CALLER and the
   * client closes. Afterwards it has no effect; close the client instead. Default: none.
   */
  signal?: AbortSignal | undefined;
}

/**
 * How a client connects again. Delays are in ms and random, so that the clients of a restarted
 * server do not all connect at once.
 *
 * The first attempt after a lost session is made after initialDelay × 0.5 to 1.5. After a failed
 * attempt the delay is backoff × 0.5 to 1. The backoff doubles with each failure, from initialDelay
 * to maxDelay.
 */
export interface ReconnectOptions {
  /**
   * The first delay, in ms. For a server with many clients, choose the time that it takes to accept
   * all of them. Default: 100.
   */
  initialDelay?: number | undefined;
  /** The longest delay, in ms. Default: 10,000. */
  maxDelay?: number | undefined;
  /**
   * After this many failed attempts the client stops. A session that ends within 1 s counts as a
   * failed attempt. When a session is lost that was open for longer, the count begins again at 0; a
   * successful attempt alone does not change it. A client that has stopped and has no session is
   * `down`, and session() rejects with the last failure. Default: no limit.
   */
  maxAttempts?: number | undefined;
  /**
   * Whether connect() retries its first attempt too, until it succeeds, maxAttempts is reached or
   * its signal aborts. BAD_ADDRESS and BAD_OPTION reject at once. Default: false.
   */
  retryFirst?: boolean | undefined;
}

/**
 * How a connection differs from a byte stream that cannot be half-open. The properties must not
 * change.
 */
export interface ConnectionCapabilities {
  /** One side can end while the other side still sends. Default: false. */
  readonly canHalfOpen?: boolean;
  /**
   * Messages can be lost, or have a forged sender (UDP). A message that cannot be decoded is
   * reported, and the session stays open. Default: false.
   */
  readonly isLossy?: boolean;
  /**
   * Each call of write() is one message, which may be empty, and each Session.write() without a
   * rate calls it before it returns. Default: false, the session passes all messages of a tick on
   * with few calls.
   */
  readonly writesEachMessage?: boolean;
  /**
   * With writesEachMessage: write() copies the bytes, so the caller can reuse their buffer at once.
   * Default: false.
   */
  readonly copiesOnWrite?: boolean;
  /** Milliseconds: the default of SessionOptions.idleTimeout. Default: 0, no timeout. */
  readonly idleTimeout?: number;
}

/**
 * One connection; a transport implements it. It passes received bytes or messages to its
 * ConnectionEvents, and sends the bytes that the session writes. Its methods are called by its
 * session, or by a connection around it, such as DEFLATE. If it gets no session, the endpoint calls
 * destroy() or refuse().
 *
 * A transport of a byte stream, such as TCP, needs the required methods only. The heading of each
 * group of optional methods names the transports that need them.
 */
export interface Connection extends Peer {
  /** Default: no property is set, which is a byte stream that cannot be half-open. */
  readonly capabilities?: ConnectionCapabilities;
  /**
   * Start to deliver events. Called once. Events may come before the first resume(): the session
   * keeps their messages until it is open. A connection may also begin paused.
   */
  attach(events: ConnectionEvents, limits: MessageLimits): void;
  /** Bytes that were written and that the operating system has not accepted yet. */
  readonly bufferedBytes: number;
  /** See Session. */
  readonly socket?: object | undefined;
  /** Received messages that were dropped while the connection was paused. Default: 0. */
  readonly messagesDropped?: number;
  /**
   * Send `bytes`. If bufferedBytes is 0 after the call, the caller can reuse their buffer;
   * otherwise they belong to the connection.
   */
  write(bytes: Uint8Array): void;
  /**
   * Deliver no further onData or onMessage until resume(). onAlive and onTaken continue. onEnd
   * waits until the bytes before it are delivered. onClose may come. A connection that cannot stop
   * its peer, such as UDP, keeps a limited number of bytes and drops the rest.
   */
  pause(): void;
  /** Deliver again. The session also calls it once when it is open. */
  resume(): void;
  /**
   * Send the written bytes, then end this side. A WebSocket sends the code and the reason. Reading
   * continues.
   */
  end(code?: number, reason?: string): void;
  /** Release everything now. onClose follows. */
  destroy(): void;
  /**
   * As destroy(), but tell the peer why, with a close code and a reason of at most 123 bytes,
   * behind the written bytes. The peer has a limited time to read them. Without this method
   * destroy() is called.
   */
  abort?(closeCode: number, reason: string): void;

  // ---- accepted connections of a server: TLS, WebSocket ----

  /**
   * Before attach(): answer the WebSocket request with this HTTP status, then close. A connection
   * without this method is destroyed.
   */
  refuse?(status: number): void;
  /**
   * Called when the session ends while this connection stays open, for example until the peer of a
   * WebSocket has received the close frame. The connection must then call Admission.countSession()
   * with 1, and with -1 when it is closed: until then it counts toward maxSessions.
   */
  onSessionEnd?(): void;

  // ---- TCP and Unix sockets ----

  /**
   * Encrypt the connection from here on. Throws BAD_OPTION and then changes nothing. Written bytes
   * are sent in plain text first. Bytes that are written later wait until the handshake is complete
   * and the peer is verified. Settles then. If the handshake fails, the connection closes with the
   * error with which the promise rejects.
   */
  startTls?(options: StartTlsOptions, side: TlsSide): Promise<Peer>;

  // ---- WebSocket ----

  /**
   * Connections with the same key make the same frame of the same message, so broadcast() makes it
   * once. Undefined: each frame differs from others, because it is masked.
   */
  readonly frameKey?: string | undefined;
  /** Throws BAD_OPTION for a close code that is valid but forbidden on this transport. */
  checkCloseCode?(code: number): void;
  /** See Session. */
  readonly closeCode?: number | undefined;
  readonly closeReason?: string | undefined;
  /** Send a ping; onAlive() reports the pong. Called every cronPeriod. */
  ping?(): void;

  // ---- UDP ----

  /** See Session. */
  trust?(): void;
  /**
   * Called before the write() of a send(). Call onTaken() when the operating system has accepted
   * that message. For a connection without this method, bufferedBytes alone shows it.
   */
  requestWriteAck?(): void;

  // ---- connections that hold the bytes of an incomplete message (WebSocket, snappy) ----

  /**
   * How long the peer has been sending an incomplete message, in ms. 0: no message is incomplete,
   * or the connection is paused.
   */
  incompleteMessageAge?(): number;

  // ---- message transports (WebSocket, UDP), which call onMessage instead of onData ----

  /**
   * Called before the session appends one message to `output`. The connection may reserve space for
   * its frame header.
   */
  beginMessage?(output: ByteWriter): void;
  /**
   * Called when the message is complete. It begins at `start`, where the reserved space is. The
   * connection completes its frame, or stores where the message ends. So all messages of a tick can
   * be sent in one write(). If this throws, the message is not sent.
   */
  endMessage?(output: ByteWriter, start: number): void;
}

/**
 * Limits of a session, in bytes, for a transport that collects, inflates or queues messages itself.
 * The session checks the size of each message too.
 */
export interface MessageLimits {
  readonly maxMessageBytes: number;
  readonly maxInflatedBytes: number;
  readonly maxQueuedBytes: number;
}

/** The side of a session in its TLS handshake. */
export interface TlsSide {
  readonly isServer: boolean;
  /** That of the endpoint. A client verifies that the certificate is for its host. */
  readonly address: string;
}

/** The events that a Connection reports. A session implements them. */
export interface ConnectionEvents {
  /** Bytes of the stream arrived. The bytes belong to the receiver. */
  onData(bytes: Bytes): void;
  /**
   * One complete message of a message transport arrived, from `start` to `end` of `bytes`; by
   * default all of `bytes`. The bytes belong to the receiver. `text` is true for a text message and
   * false for a binary one; undefined except on a WebSocket.
   */
  onMessage(bytes: Bytes, text?: boolean, start?: number, end?: number): void;
  /** The peer sent a pong: it responds, but sent no message. */
  onAlive(): void;
  /** The operating system has accepted bytes: bufferedBytes is smaller than before. */
  onTaken(): void;
  /**
   * The peer violated the protocol, and onClose follows. The receiver writes its queued bytes now;
   * they are still sent.
   */
  onClosing?(): void;
  /** The peer has ended its side. */
  onEnd(): void;
  /**
   * The connection is closed. Called once, last. `error` is the reason if the connection was lost.
   */
  onClose(error?: Error): void;
}

/** A transport: listens on and connects to the addresses of one scheme. */
export interface Transport {
  /** The default of ServerOptions.maxSessions. Undefined: no limit. */
  readonly maxSessions?: number | undefined;
  /**
   * Listen on `address` and call `accept` for each connection. Rejects with LISTEN_FAILED,
   * BAD_ADDRESS or BAD_OPTION.
   */
  listen(
    address: Address,
    options: ListenOptions,
    accept: (connection: Connection) => void,
  ): Promise<Listener>;
  /**
   * Connect to `address`. Rejects with CONNECT_FAILED, whose cause is the reason, or with
   * BAD_ADDRESS or BAD_OPTION. `signal` aborts at connectTimeout, and when the client is closed.
   * Then what was opened must be destroyed, and the result must reject with CONNECT_FAILED.
   */
  dial(address: Address, options: DialOptions, signal: AbortSignal): Promise<Connection>;
}

/**
 * The limits and counters of a server, which its transport consults for peers without a session.
 */
export interface Admission {
  /**
   * The error with which to refuse a connection before its handshake. Undefined: the connection is
   * admitted. Sessions and handshakes count together. `peer` is undefined for a proxy that has not
   * named its client yet: only the limits of the whole server apply.
   */
  refusalBeforeHandshake(peer: Peer | undefined): RefusedError | undefined;
  /** Count a handshake that has begun (1) or ended (-1). */
  countHandshake(peer: Peer | undefined, change: 1 | -1): void;
  /**
   * Count a session that has begun (1) or ended (-1). Used if a socket stays open after its session
   * has ended.
   */
  countSession(peer: Peer, change: 1 | -1): void;
  /** Report that the transport has refused the peer. */
  reportRefusal(peer: Peer, error: RefusedError): void;
  /** Report that handling the peer's bytes threw `error`. The transport closes the connection. */
  reportFault(peer: Peer, error: unknown): void;
  /** Emit a process warning, at most once a minute for each code. */
  warnOncePerMinute(error: GettyError): void;
}

/** BehindProxyOptions after their checks. */
export interface ProxySettings {
  readonly header: BehindProxyOptions['header'];
  /** Whether a host is in BehindProxyOptions.trusted. */
  isTrusted(host: string): boolean;
}

/** SocketOptions with their defaults. */
export type SocketSettings = Required<SocketOptions>;
export type ServerSocketSettings = Required<ServerSocketOptions>;

/** ServerOptions with their defaults, and the admission control of the server. */
export type ListenOptions = Omit<ServerOptions, 'behindProxy' | 'socket'> &
  Required<Pick<ServerOptions, 'handshakeTimeout'>> & {
    readonly admission: Admission;
    readonly behindProxy: ProxySettings | undefined;
    /** Undefined in a page. */
    readonly socket: ServerSocketSettings | undefined;
  };

/** The ClientOptions that a transport uses. `socket` has its defaults; undefined in a page. */
export type DialOptions = Pick<ClientOptions, 'tls' | 'udp' | 'websocket' | 'proxy'> & {
  readonly socket?: SocketSettings | undefined;
};

/** A listening socket. */
export interface Listener {
  /** The address with the actual port. */
  readonly address: string;
  /** Stop listening. Settles when the port is free. */
  close(): Promise<void>;
  /**
   * Return the connection to the peer at `address`. If there is none, create and accept it. Only on
   * UDP. Throws BAD_ADDRESS or ENDPOINT_CLOSED.
   */
  connectionTo?(address: Address): Connection;
  /** Use other certificates for new sessions. Only with TLS. Throws BAD_OPTION. */
  reloadTls?(options: TlsOptions): void;
}
