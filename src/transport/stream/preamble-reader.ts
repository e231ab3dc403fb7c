/**
 * Reads what precedes the protocol of a connection: the header of the PROXY protocol, and the first
 * byte, which tells TLS from other protocols.
 */
import type { Socket } from 'node:net';
import { guarded } from '../../core/guard.js';
import type { HostAddress } from '../proxies/ip-address.js';
import { type ProxyHeader, readProxyHeader } from '../proxies/proxy-header.js';

/** The first byte of a TLS record with a handshake message (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 0x16;

export interface PreambleReaderOptions {
  readonly hasProxyHeader: boolean;
  readonly detectsTls: boolean;
  /** The header has arrived. Undefined: it names no client. The function may destroy the socket. */
  readonly onClient: (client: HostAddress | undefined) => void;
  /**
   * Called at most once, with a paused socket that has all bytes after the header. `isTls`: whether
   * the next one begins a TLS handshake; undefined if it was not read.
   */
  readonly onPreamble: (isTls: boolean | undefined) => void;
  /** The bytes are no header, or the connection ended within it. Called at most once. */
  readonly onInvalid: (error: Error) => void;
  /** A function of the caller has thrown. */
  readonly onFault: (error: unknown) => void;
}

function ignore(): void {}

export class PreambleReader {
  readonly #socket: Socket;
  readonly #options: PreambleReaderOptions;
  /** Collected until they are #neededBytes. */
  #chunks: Buffer[] = [];
  #receivedBytes = 0;
  #neededBytes = 1;
  #header: ProxyHeader | undefined;

  constructor(socket: Socket, options: PreambleReaderOptions) {
    this.#socket = socket;
    this.#options = options;
    // An error without a listener would end the process. The 'close' event follows it.
    socket.on('error', ignore).on('data', this.#onData).on('end', this.#onEnd);
  }

  readonly #onData = (chunk: Buffer): void =>
    guarded(() => this.#read(chunk), this.#options.onFault)();

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#receivedBytes += chunk.length;
    // Without this, one byte at a time would copy all bytes each time.
    if (this.#receivedBytes < this.#neededBytes) return;
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    this.#chunks = [bytes];
    if (this.#options.hasProxyHeader && this.#header === undefined) {
      let header: ProxyHeader | number;
      try {
        header = readProxyHeader(bytes);
      } catch (error) {
        this.#release();
        return this.#options.onInvalid(error as Error);
      }
      if (typeof header === 'number') {
        this.#neededBytes = header;
        return;
      }
      this.#header = header;
      this.#options.onClient(header.client);
      if (this.#socket.destroyed) return;
    }
    this.#finish(bytes);
  }

  /** Ends the preamble, unless the byte after the header is needed and missing. */
  #finish(bytes: Buffer): void {
    const { detectsTls, onPreamble } = this.#options;
    const { length = 0 } = this.#header ?? {};
    if (detectsTls && bytes.length === length) {
      this.#neededBytes = length + 1;
      return;
    }
    this.#release();
    this.#socket.pause();
    if (bytes.length > length) this.#socket.unshift(bytes.subarray(length));
    onPreamble(detectsTls ? bytes[length] === TLS_HANDSHAKE : undefined);
  }

  readonly #onEnd = (): void => {
    this.#release();
    // The health check of a proxy may send nothing, and so may the client behind a header.
    if (this.#receivedBytes === 0 || this.#header !== undefined) this.#socket.destroy();
    else this.#options.onInvalid(new Error('the connection ended within the PROXY header'));
  };

  #release(): void {
    this.#chunks = [];
    this.#socket.off('error', ignore).off('data', this.#onData).off('end', this.#onEnd);
  }
}
