/**
 * The browser's own WebSocket as a connection: a message transport, of which the browser does the
 * frames and this file the rest.
 */

import { allocate, type Bytes, encode, wrap } from '../core/bytes.js';
import { type GettyError, gettyError, messageOf } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { Queue } from '../core/queue.js';
import { followSignal } from '../core/signals.js';
import { startTimer } from '../core/timers.js';
import { type Address, formatAddress } from '../transport/address.js';
import type { ByteWriter } from '../transport/buffers/byte-writer.js';
import { CloseError, NORMAL_CLOSE } from '../transport/close-code.js';
import type {
  ClientOptions,
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
  MessageLimits,
  Transport,
} from '../transport/types.js';
import { checkWebSocketOptions } from '../transport/websocket/websocket-options.js';

/** As much of the browser's WebSocket as is used here. */
interface BrowserSocket {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  readonly readyState: number;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onerror: (() => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: Uint8Array | string): void;
  close(code?: number, reason?: string): void;
}
interface CloseEvent {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;
}
type SocketClass = new (url: string, protocols: string[]) => BrowserSocket;

const OPEN = 1;
/** What a browser says when a close came without a code. */
const NO_CODE = 1005;
/** Normal, going away, and no code at all. */
const ORDERLY: readonly number[] = [NORMAL_CLOSE, 1001, NO_CODE];
/** What a browser says when no close came. */
const BROKEN = 1006;
/** Of the codes below it a browser may send 1000 alone. */
const FIRST_FREE_CODE = 3000;
/** What a browser may say when it ends at once. */
const DESTROYED = 4000;
/**
 * What a message that waits to be read costs in memory besides its bytes: empty ones must not be
 * free.
 */
const HELD_OVERHEAD = 256;
/**
 * Milliseconds between two looks at what the browser has sent: the first, and the longest while
 * nothing moves.
 */
const FIRST_LOOK = 1;
const LAST_LOOK = 64;
const EMPTY = allocate(0);
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `ws://host:port/path`; a path of only a slash is any path. */
function urlOf({ scheme, host, port, path }: Address): string {
  return formatAddress(scheme, host || 'localhost', port) + (path === '/' ? '' : path);
}

/**
 * The same with its secrets, for the browser, which decides whether to send the user and the
 * password.
 */
function secretUrlOf(address: Address): string {
  const { credentials, query } = address;
  const url = urlOf(address) + (query === undefined ? '' : `?${query}`);
  if (credentials === undefined) return url;
  return url.replace(
    '://',
    () => `://${encodeURIComponent(credentials.user)}:${encodeURIComponent(credentials.password)}@`,
  );
}

/** In words. */
function endOf(code: number, reason: string): string {
  if (code === BROKEN) return 'broke; a browser does not say why';
  return `closed with code ${code}${reason === '' ? '' : `: ${JSON.stringify(reason)}`}`;
}

interface HeldMessage {
  readonly bytes: Bytes;
  readonly text: boolean;
}

/** Each message is one call of the browser, which copies the bytes before send() returns. */
const CAPABILITIES: ConnectionCapabilities = { writesEachMessage: true, copiesOnWrite: true };

class BrowserConnection implements Connection {
  readonly capabilities = CAPABILITIES;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly protocol: string | undefined;
  closeCode: number | undefined;
  closeReason: string | undefined;
  readonly #socket: BrowserSocket;
  readonly #text: boolean;
  #events: ConnectionEvents | undefined;
  #maxHeldBytes = 0;
  /** Until the session resumes it for the first time, which says that it is open. */
  #paused = true;
  /** A browser goes on receiving, whatever we do: what came while we do not read. */
  readonly #held = new Queue<HeldMessage>();
  #heldBytes = 0;
  /** The message that is about to be written, as text. */
  #nextText: string | undefined;
  /** Bytes that were written when the browser took no more. */
  #dropped = 0;
  #look: NodeJS.Timeout | undefined;
  #lookDelay = FIRST_LOOK;
  /** Somebody waits until the next message has left. */
  #asked = false;
  /** We were the first to close. */
  #ended = false;
  /** All was sent, whatever the browser's count says. */
  #sent = false;
  #socketClosed = false;
  #over = false;

  constructor(socket: BrowserSocket, remoteAddress: string, text: boolean) {
    this.#socket = socket;
    this.#text = text;
    // A browser does not tell its port; the server sees the page's origin.
    this.localAddress =
      (globalThis as { location?: { origin: string } | undefined }).location?.origin ?? '';
    this.remoteAddress = remoteAddress;
    this.protocol = socket.protocol || undefined;
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') this.#receive(encode(data), true);
      else this.#receive(wrap(data as ArrayBuffer), false);
    };
    socket.onclose = (event) => this.#closed(event);
  }

  attach(events: ConnectionEvents, { maxQueuedBytes }: MessageLimits): void {
    this.#events = events;
    this.#maxHeldBytes = maxQueuedBytes;
  }

  // ---- reading ----

  #receive(bytes: Bytes, text: boolean): void {
    if (this.#look !== undefined) this.#tellTaken();
    if (!this.#paused) return this.#events?.onMessage(bytes, text);
    this.#held.push({ bytes, text });
    this.#heldBytes += bytes.length + HELD_OVERHEAD;
    if (this.#heldBytes <= this.#maxHeldBytes || this.#events === undefined) return;
    const what = `${this.remoteAddress} sent ${this.#heldBytes} bytes while the session did not read; maxQueuedBytes is ${this.#maxHeldBytes}`;
    this.#end(gettyError('SESSION_BLOCKED', what));
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    // One by one: the session may pause at any of them.
    while (!this.#paused) {
      const message = this.#held.shift();
      if (message === undefined) break;
      this.#heldBytes -= message.bytes.length + HELD_OVERHEAD;
      this.#events?.onMessage(message.bytes, message.text);
    }
    // Not at once: the session may still read what it holds.
    if (this.#socketClosed) queueMicrotask(() => this.#finishWhenRead());
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.#sent ? 0 : this.#socket.bufferedAmount + this.#dropped;
  }

  requestWriteAck(): void {
    this.#asked = true;
  }

  beginMessage(output: ByteWriter): void {
    output.asText = this.#text;
  }

  /** The session is told to write each message for itself, so this one is all that there is. */
  endMessage(output: ByteWriter, start: number): void {
    if (output.asText === true) {
      try {
        this.#nextText = strict.decode(output.bytes.subarray(start, output.length));
      } catch (error) {
        throw gettyError('ENCODE_FAILED', 'a text message must be UTF-8', error);
      }
    }
    // A session does not pass on nothing; yet an empty message is one.
    if (output.length === start) this.write(EMPTY);
  }

  write(bytes: Uint8Array): void {
    const socket = this.#socket;
    // The browser would drop it, and count it as not sent for ever.
    if (socket.readyState !== OPEN) this.#dropped += bytes.length;
    else {
      socket.send(this.#nextText ?? bytes);
      if (this.#look === undefined && (this.#asked || socket.bufferedAmount > 0))
        this.#lookLater(FIRST_LOOK);
    }
    this.#asked = false;
    this.#nextText = undefined;
  }

  /**
   * A browser does not tell when it has sent: while something waits we look, less often when
   * nothing moves.
   */
  #lookLater(delay: number): void {
    this.#lookDelay = delay;
    const before = this.#socket.bufferedAmount;
    this.#look = startTimer(() => {
      this.#look = undefined;
      const left = this.#socket.bufferedAmount;
      if (left > 0)
        this.#lookLater(left < before ? FIRST_LOOK : Math.min(this.#lookDelay * 2, LAST_LOOK));
      this.#tellTaken();
    }, delay);
  }

  #tellTaken(): void {
    if (!this.#over) this.#events?.onTaken();
  }

  // ---- the end ----

  /**
   * A browser sends what was written and then its close. It hands on nothing that comes after that.
   */
  end(code = NORMAL_CLOSE, reason = ''): void {
    if (this.#socket.readyState !== OPEN) return;
    this.#ended = this.#dropped === 0;
    this.#socket.close(code, reason);
  }

  checkCloseCode(code: number): void {
    if (code !== NORMAL_CLOSE && code < FIRST_FREE_CODE)
      throw badOption('code', code, '1000, or 3000 to 4999: a browser sends no other');
  }

  #closed({ code, reason, wasClean }: CloseEvent): void {
    this.#socketClosed = true;
    if (code !== BROKEN) {
      this.closeCode = code === NO_CODE ? undefined : code;
      this.closeReason = reason;
    }
    if (!ORDERLY.includes(code)) {
      const what = `the connection with ${this.remoteAddress} ${endOf(code, reason)}`;
      return this.#finish(
        code === BROKEN ? gettyError('CONNECTION_LOST', what) : new CloseError(what, code, reason),
      );
    }
    if (wasClean && this.#ended) {
      this.#sent = true;
      this.#tellTaken();
    }
    this.#finishWhenRead();
  }

  /** What came before an orderly end is still read. */
  #finishWhenRead(): void {
    if (this.#over || this.#paused) return;
    this.#events?.onEnd();
    this.#finish();
  }

  destroy(): void {
    this.#end();
  }

  /**
   * Now. A browser knows no other way than to close: what it has not sent yet may still leave, and
   * the peer is told.
   */
  #end(error?: GettyError): void {
    this.#finish(error);
    this.#socket.close(DESTROYED, 'destroyed');
  }

  #finish(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#held.clear();
    clearTimeout(this.#look);
    this.#socket.onmessage = this.#socket.onclose = null;
    queueMicrotask(() => this.#events?.onClose(error));
  }
}

/** Throws BAD_OPTION for what a browser does not let a page decide. */
function checkOptions({ tls, udp, websocket }: ClientOptions): {
  protocols: readonly string[];
  text: boolean;
} {
  const { protocols = [], text = false, headers, allowOrigin } = checkWebSocketOptions(websocket);
  const refused = { tls, udp, 'websocket.headers': headers, 'websocket.allowOrigin': allowOrigin };
  for (const [name, given] of Object.entries(refused))
    if (given !== undefined)
      throw badOption(name, given, 'none in a browser, which decides that itself');
  return { protocols, text };
}

function open(address: Address, protocols: readonly string[]): BrowserSocket {
  const { WebSocket } = globalThis as unknown as { WebSocket?: SocketClass | undefined };
  if (WebSocket === undefined)
    throw new Error("there is no global WebSocket here; in Node.js use connect() of 'getty-ts'");
  return new WebSocket(secretUrlOf(address), [...protocols]);
}

async function dial(
  address: Address,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const { protocols, text } = checkOptions(options);
  const failed = (cause: unknown): Error =>
    gettyError('CONNECT_FAILED', `cannot connect to ${address.text}: ${messageOf(cause)}`, cause);
  let socket: BrowserSocket;
  try {
    signal.throwIfAborted();
    socket = open(address, protocols);
  } catch (error) {
    const isSecret = address.credentials !== undefined || address.query !== undefined;
    // A browser repeats the URL in its message.
    throw failed(
      isSecret && !signal.aborted
        ? new Error(`the browser refused it: ${(error as Error).name}`)
        : error,
    );
  }
  socket.binaryType = 'arraybuffer';
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      release();
      socket.onopen = socket.onclose = null;
    };
    const fail = (cause: unknown): void => {
      settle();
      socket.close();
      reject(failed(cause));
    };
    const release = followSignal(signal, () => fail(signal.reason));
    // What is to be known comes with the close that follows.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => fail(new Error(`the connection ${endOf(code, reason)}`));
    socket.onopen = () => {
      const { protocol } = socket;
      if (protocol === '' ? protocols.length > 0 : !protocols.includes(protocol)) {
        return fail(
          new Error(
            `the server chose ${JSON.stringify(protocol)} of the protocols ${protocols.join(', ') || '(none was offered)'}`,
          ),
        );
      }
      settle();
      resolve(new BrowserConnection(socket, urlOf(address), text));
    };
  });
}

/** Serves nobody: a browser cannot listen. */
export const webSocket: Transport = {
  listen: (address) =>
    Promise.reject(
      gettyError('LISTEN_FAILED', `cannot listen at ${address.text}: a browser cannot`),
    ),
  dial,
};
