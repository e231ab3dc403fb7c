/**
 * Reads what precedes the protocol of a connection: the header of the PROXY protocol, the first
 * byte, which tells TLS from other protocols, and the ClientHello of TLS. TLS begins in turns: its
 * handshake takes up to some milliseconds in one piece.
 */
import type { Socket } from 'node:net';
import { guarded } from '../../core/guard.js';
import { runInTurn, spend, unitsOf } from '../../core/turn.js';
import type { HostAddress } from '../proxies/ip-address.js';
import { readProxyHeader } from '../proxies/proxy-header.js';
import {
  ClientHelloScanner,
  type HelloState,
  MAX_HELLO_BYTES,
  TLS_HANDSHAKE,
} from '../tls/client-hello.js';

/**
 * Units of spend() for a TLS handshake. So many that the clock is read for each: with a key of
 * RSA 4096 a handshake takes some milliseconds.
 */
const HANDSHAKE_UNITS = 64;
const EMPTY = Buffer.alloc(0);

export interface PreambleOptions {
  /** The connection begins with a header of the PROXY protocol. */
  readonly hasProxyHeader: boolean;
  /** `optional`: the first byte tells whether the peer uses TLS. */
  readonly tls: 'none' | 'optional' | 'required';
}

/** What a PreambleReader calls. */
export interface PreambleEvents {
  /** The header has arrived. Undefined: it names no client. The function may destroy the socket. */
  onClient?(client: HostAddress | undefined): void;
  /** What follows is TLS. Called at most once; if TLS is required, before its first byte. */
  onTlsExpected?(): void;
  /**
   * Called at most once, in a turn with budget, with a paused socket that has all bytes after the
   * header. `isTls`: they are a whole ClientHello.
   */
  onPreamble(isTls: boolean): void;
  /** The bytes are no header, or the connection ended within it. Called at most once. */
  onInvalidHeader?(error: Error): void;
  /** The bytes are no ClientHello, or the socket has failed. The socket may be destroyed. */
  onTlsError(error: Error): void;
  /** A function above has thrown. */
  onFault(error: unknown): void;
}

function ignore(): void {}

export class PreambleReader {
  readonly #socket: Socket;
  readonly #options: PreambleOptions;
  readonly #events: PreambleEvents;
  /** What has arrived, and is not the header, is in the first `#length` bytes. */
  #received: Buffer = EMPTY;
  #length = 0;
  #isHeaderPending: boolean;
  /** Bytes of the header that are needed to read it further. */
  #neededBytes = 1;
  /** Undefined until TLS is expected. */
  #hello: ClientHelloScanner | undefined;

  constructor(socket: Socket, options: PreambleOptions, events: PreambleEvents) {
    this.#socket = socket;
    this.#options = options;
    this.#events = events;
    this.#isHeaderPending = options.hasProxyHeader;
    this.#onData = (chunk) =>
      guarded(
        () => this.#read(chunk),
        (error) => events.onFault(error),
      )();
    // An 'error' event without a listener would end the process. The 'close' event follows it.
    socket.on('error', this.#onError).on('data', this.#onData).on('end', this.#onEnd);
    if (!options.hasProxyHeader && options.tls === 'required') this.#expectTls();
    socket.resume();
  }

  readonly #onData: (chunk: Buffer) => void;

  readonly #onError = (error: Error): void => {
    if (this.#hello !== undefined) this.#inTurn(() => this.#events.onTlsError(error));
  };

  readonly #onEnd = (): void => {
    // The health check of a proxy may send nothing, and so may the client behind a header.
    if (!this.#isHeaderPending || this.#length === 0) this.#socket.destroy();
    else this.#refuseHeader(new Error('the connection ended within the PROXY header'));
  };

  #read(chunk: Buffer): void {
    this.#append(chunk);
    spend(unitsOf(chunk.length));
    if (!this.#isHeaderPending) this.#readProtocol(chunk);
    else if (this.#length >= this.#neededBytes && this.#readHeader())
      this.#readProtocol(this.#received.subarray(0, this.#length));
  }

  /** A peer may send one byte at a time, so the buffer grows to twice its size. */
  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (this.#length === 0) this.#received = chunk;
    else {
      if (length > this.#received.length)
        this.#received = Buffer.concat([this.#received], length * 2);
      this.#received.set(chunk, this.#length);
    }
    this.#length = length;
  }

  /** Returns whether the header is complete, and its client not refused. */
  #readHeader(): boolean {
    const header = this.#parseHeader();
    if (header === undefined) return false;
    if (typeof header === 'number') {
      this.#neededBytes = header;
      return false;
    }
    this.#isHeaderPending = false;
    this.#received = this.#received.subarray(header.length);
    this.#length -= header.length;
    this.#events.onClient?.(header.client);
    if (this.#socket.destroyed) this.#stop();
    else if (this.#options.tls === 'required') this.#expectTls();
    return !this.#socket.destroyed;
  }

  /** See readProxyHeader(). Undefined: the bytes are no header. */
  #parseHeader(): ReturnType<typeof readProxyHeader> | undefined {
    try {
      return readProxyHeader(this.#received.subarray(0, this.#length));
    } catch (error) {
      this.#refuseHeader(error as Error);
      return undefined;
    }
  }

  #refuseHeader(error: Error): void {
    this.#stop();
    this.#inTurn(() => this.#events.onInvalidHeader?.(error));
  }

  /** `bytes`: those after the header that have not been read. */
  #readProtocol(bytes: Buffer): void {
    const { tls } = this.#options;
    if (tls === 'none') return this.#complete(false);
    if (bytes.length === 0) return;
    if (tls === 'optional' && this.#hello === undefined && bytes[0] !== TLS_HANDSHAKE)
      return this.#complete(false);
    const state = this.#expectTls().scan(bytes);
    if (state === 'complete') this.#complete(true);
    else if (state !== 'incomplete') this.#refuseHello(state);
  }

  #expectTls(): ClientHelloScanner {
    if (this.#hello === undefined) {
      this.#hello = new ClientHelloScanner();
      this.#events.onTlsExpected?.();
    }
    return this.#hello;
  }

  #complete(isTls: boolean): void {
    const socket = this.#socket;
    const bytes = this.#received.subarray(0, this.#length);
    this.#stop();
    // The next reader gets the bytes again.
    if (bytes.length > 0) socket.unshift(bytes);
    if (isTls) spend(HANDSHAKE_UNITS);
    this.#inTurn(() => {
      // The peer may have left meanwhile.
      if (socket.destroyed) return;
      socket.off('error', this.#onError);
      // TLS has listeners of the socket over this one only.
      if (isTls) socket.on('error', ignore);
      this.#events.onPreamble(isTls);
    });
  }

  /** Reads no further. */
  #stop(): void {
    this.#received = EMPTY;
    this.#socket.off('data', this.#onData).off('end', this.#onEnd).pause();
  }

  #inTurn(task: () => void): void {
    runInTurn(guarded(task, (error) => this.#events.onFault(error)));
  }

  #refuseHello(state: Exclude<HelloState, 'complete' | 'incomplete'>): void {
    const message =
      state === 'not TLS'
        ? 'the peer does not use TLS: its first bytes are no ClientHello'
        : `the ClientHello of the peer has more than ${MAX_HELLO_BYTES} bytes`;
    this.#stop();
    this.#inTurn(() => this.#events.onTlsError(new Error(message)));
  }
}
